// The start-up choice: the preferred backend, and what takes its place when it is missing or wrong.
#include "vpn/crypto/aead_select.h"

#include <gtest/gtest.h>

#include <functional>

namespace vpn::crypto {
namespace {

constexpr Suite kSuites[] = {Suite::kChaCha20Poly1305, Suite::kAes256Gcm};

// An Aead that is OpenSSL's but for what a test spoils.
class SpoiledAead : public Aead {
 public:
  explicit SpoiledAead(Suite suite) : inner_(make_aead(Backend::kOpenssl, suite)) {}
  Suite suite() const noexcept override { return inner_->suite(); }
  std::string_view backend_name() const noexcept override { return "spoiled"; }
  std::unique_ptr<AeadKey> make_key(const AeadSecret& secret) noexcept override {
    return inner_->make_key(secret);
  }
  void seal(const AeadKey& key, Counter counter, BytesView associated, BytesView plain,
            MutableBytes sealed) noexcept override {
    inner_->seal(key, counter, associated, plain, sealed);
  }
  bool open(const AeadKey& key, Counter counter, BytesView associated, BytesView sealed,
            MutableBytes plain) noexcept override {
    return inner_->open(key, counter, associated, sealed, plain);
  }

 private:
  std::unique_ptr<Aead> inner_;
};

class NonceInWrongByteOrder final : public SpoiledAead {
 public:
  using SpoiledAead::SpoiledAead;
  void seal(const AeadKey& key, Counter counter, BytesView associated, BytesView plain,
            MutableBytes sealed) noexcept override {
    SpoiledAead::seal(key, __builtin_bswap64(counter), associated, plain, sealed);
  }
  bool open(const AeadKey& key, Counter counter, BytesView associated, BytesView sealed,
            MutableBytes plain) noexcept override {
    return SpoiledAead::open(key, __builtin_bswap64(counter), associated, sealed, plain);
  }
};

class TagNotChecked final : public SpoiledAead {
 public:
  using SpoiledAead::SpoiledAead;
  bool open(const AeadKey& key, Counter counter, BytesView associated, BytesView sealed,
            MutableBytes plain) noexcept override {
    (void)SpoiledAead::open(key, counter, associated, sealed, plain);
    return true;
  }
};

class OnlyLongPacketsWrong final : public SpoiledAead {
 public:
  using SpoiledAead::SpoiledAead;
  void seal(const AeadKey& key, Counter counter, BytesView associated, BytesView plain,
            MutableBytes sealed) noexcept override {
    SpoiledAead::seal(key, counter, associated, plain, sealed);
    if (plain.size() > 1024) sealed.back() ^= 1;
  }
};

class AssociatedDataIgnored final : public SpoiledAead {
 public:
  using SpoiledAead::SpoiledAead;
  void seal(const AeadKey& key, Counter counter, BytesView, BytesView plain,
            MutableBytes sealed) noexcept override {
    SpoiledAead::seal(key, counter, {}, plain, sealed);
  }
  bool open(const AeadKey& key, Counter counter, BytesView, BytesView sealed,
            MutableBytes plain) noexcept override {
    return SpoiledAead::open(key, counter, {}, sealed, plain);
  }
};

class BatchSkipsLastPacket final : public SpoiledAead {
 public:
  using SpoiledAead::SpoiledAead;
  void seal_batch(const AeadKey& key, std::span<SealJob> jobs) noexcept override {
    SpoiledAead::seal_batch(key, jobs.first(jobs.size() - 1));
  }
};

class BatchCallsEverythingAuthentic final : public SpoiledAead {
 public:
  using SpoiledAead::SpoiledAead;
  void open_batch(const AeadKey& key, std::span<OpenJob> jobs) noexcept override {
    SpoiledAead::open_batch(key, jobs);
    for (OpenJob& job : jobs) job.authentic = true;
  }
};

// Consistent with itself, so that only another library shows the mistake.
class BatchHasItsOwnNonces final : public SpoiledAead {
 public:
  using SpoiledAead::SpoiledAead;
  void seal_batch(const AeadKey& key, std::span<SealJob> jobs) noexcept override {
    for (SealJob& job : jobs) ++job.counter;
    SpoiledAead::seal_batch(key, jobs);
  }
  void open_batch(const AeadKey& key, std::span<OpenJob> jobs) noexcept override {
    for (OpenJob& job : jobs) ++job.counter;
    SpoiledAead::open_batch(key, jobs);
  }
};

template <typename Spoiled>
void expect_replaced_by_openssl(Suite suite) {
  Spoiled spoiled(suite);
  EXPECT_FALSE(is_sound(spoiled));
  std::vector<std::unique_ptr<Aead>> candidates;
  candidates.push_back(std::make_unique<Spoiled>(suite));
  candidates.push_back(make_aead(Backend::kOpenssl, suite));
  const auto chosen = first_trusted(std::move(candidates));
  ASSERT_NE(chosen, nullptr);
  EXPECT_EQ(chosen->backend_name(), "openssl");
}

class AeadSelect : public testing::TestWithParam<Suite> {};

TEST_P(AeadSelect, SpoiledBackendIsReplaced) {
  expect_replaced_by_openssl<NonceInWrongByteOrder>(GetParam());
  expect_replaced_by_openssl<TagNotChecked>(GetParam());
  expect_replaced_by_openssl<OnlyLongPacketsWrong>(GetParam());
  expect_replaced_by_openssl<AssociatedDataIgnored>(GetParam());
  expect_replaced_by_openssl<BatchSkipsLastPacket>(GetParam());
  expect_replaced_by_openssl<BatchCallsEverythingAuthentic>(GetParam());
}

TEST_P(AeadSelect, BackendThatNobodyAgreesWithIsReplaced) {
  BatchHasItsOwnNonces spoiled(GetParam());
  const auto openssl = make_aead(Backend::kOpenssl, GetParam());
  EXPECT_TRUE(is_sound(spoiled));
  EXPECT_FALSE(agree(spoiled, *openssl));
  EXPECT_FALSE(agree(*openssl, spoiled));
  std::vector<std::unique_ptr<Aead>> candidates;
  candidates.push_back(std::make_unique<BatchHasItsOwnNonces>(GetParam()));
  candidates.push_back(make_aead(Backend::kOpenssl, GetParam()));
  candidates.push_back(make_aead(Backend::kOpenssl, GetParam()));
  const auto chosen = first_trusted(std::move(candidates));
  ASSERT_NE(chosen, nullptr);
  EXPECT_EQ(chosen->backend_name(), "openssl");
}

TEST_P(AeadSelect, BackendsOfThisMachineAreSoundAndAgree) {
  for (const Backend backend : {Backend::kIpsecMb, Backend::kLibsodium, Backend::kOpenssl}) {
    const auto candidate = make_aead(backend, GetParam());
    if (candidate == nullptr) continue;
    EXPECT_TRUE(is_sound(*candidate)) << candidate->backend_name();
    for (const Backend other_backend : {Backend::kIpsecMb, Backend::kLibsodium, Backend::kOpenssl}) {
      const auto other = make_aead(other_backend, GetParam());
      if (other == nullptr) continue;
      EXPECT_TRUE(agree(*candidate, *other)) << candidate->backend_name() << " and " << other->backend_name();
    }
  }
}

TEST_P(AeadSelect, NothingTrustedIsNothing) {
  EXPECT_EQ(first_trusted({}), nullptr);
  std::vector<std::unique_ptr<Aead>> candidates;
  candidates.push_back(nullptr);
  candidates.push_back(std::make_unique<NonceInWrongByteOrder>(GetParam()));
  candidates.push_back(std::make_unique<TagNotChecked>(GetParam()));
  EXPECT_EQ(first_trusted(std::move(candidates)), nullptr);
}

// Keys are shared between the sets of several workers, so every call must choose the same.
TEST_P(AeadSelect, EveryCallSelectsTheSame) {
  const AeadSet first = select_aeads();
  for (int repetition = 0; repetition < 5; ++repetition) {
    EXPECT_EQ(select_aeads().of(GetParam()).backend_name(), first.of(GetParam()).backend_name());
  }
}

TEST_P(AeadSelect, OnlyRestrictsWhereTheBackendHasTheSuite) {
  for (const Backend backend : {Backend::kIpsecMb, Backend::kLibsodium, Backend::kOpenssl}) {
    const AeadSet set = select_aeads(backend);
    EXPECT_EQ(set.of(GetParam()).suite(), GetParam());
    if (const auto wanted = make_aead(backend, GetParam()); wanted != nullptr) {
      EXPECT_EQ(set.of(GetParam()).backend_name(), wanted->backend_name());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Suites, AeadSelect, testing::ValuesIn(kSuites), [](const auto& parameter) {
  return parameter.param == Suite::kChaCha20Poly1305 ? "ChaCha20Poly1305" : "Aes256Gcm";
});

}  // namespace
}  // namespace vpn::crypto
