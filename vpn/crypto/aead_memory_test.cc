// What sealing and opening do to memory: no allocation per packet, and nothing left of a key once it is gone
// (M3.3).
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <fstream>
#include <sstream>

#include "vpn/crypto/test_support.h"

namespace {
std::atomic<size_t> allocation_count;
}

// glibc's allocator under the names it keeps for replacements; ours count, for the libraries below us as
// well.
extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier)
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
// NOLINTEND(bugprone-reserved-identifier)

void* malloc(size_t size) {
  ++allocation_count;
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  ++allocation_count;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  ++allocation_count;
  return __libc_realloc(memory, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  ++allocation_count;
  return __libc_memalign(alignment, size);
}
}

namespace vpn::crypto {
namespace {

// The key these tests look for exists only masked, so that the search does not find itself.
constexpr uint8_t kMask = 0x5c;
constexpr std::array<uint8_t, kKeyBytes> kMaskedKey = {
    0x9b, 0x1e, 0x44, 0xd7, 0x02, 0xf8, 0x6a, 0x35, 0xc1, 0x7d, 0xe0, 0x58, 0xab, 0x93, 0x2f, 0x66,
    0x10, 0xce, 0x85, 0x3b, 0xf4, 0x27, 0x99, 0x6d, 0xb2, 0x08, 0x7e, 0xd3, 0x41, 0xea, 0x5f, 0x0c};

AeadSecret make_secret() {
  AeadSecret secret;
  const volatile uint8_t* masked = kMaskedKey.data();
  for (uint8_t& byte : secret.mutable_view()) byte = static_cast<uint8_t>(*masked++ ^ kMask);
  return secret;
}

// How often half of the key (16 bytes, at any alignment) stands in [begin, end).
size_t count_in(const uint8_t* begin, const uint8_t* end) {
  constexpr size_t kHalf = kKeyBytes / 2;
  size_t count = 0;
  for (const uint8_t* at = begin; at + kHalf <= end; ++at) {
    for (const size_t start : {size_t{0}, kHalf}) {
      size_t matching = 0;
      while (matching < kHalf && (at[matching] ^ kMask) == kMaskedKey[start + matching]) ++matching;
      if (matching == kHalf) ++count;
    }
  }
  return count;
}

// The same in all memory this process can write: heap, stacks (dead frames too), and the data of every
// library.
size_t count_in_process() {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    uintptr_t begin = 0;
    uintptr_t end = 0;
    char dash = 0;
    std::string rights;
    fields >> std::hex >> begin >> dash >> end >> rights;
    if (!rights.starts_with("rw")) continue;
    count += count_in(reinterpret_cast<const uint8_t*>(begin), reinterpret_cast<const uint8_t*>(end));
  }
  return count;
}

class AeadMemoryTest : public testing::TestWithParam<test::BackendSuite> {
 protected:
  void SetUp() override {
    aead_ = make_aead(GetParam().backend, GetParam().suite);
    if (aead_ == nullptr) GTEST_SKIP() << "this machine has no such backend";
  }

  // Packets alone and in batches, good and bad.
  void use(const AeadKey& key) {
    for (size_t size = 0; size <= 1420; size += 71) {
      const BytesView plain = BytesView(plain_).first(size);
      const MutableBytes sealed = MutableBytes(sealed_).first(size + kTagBytes);
      const MutableBytes opened = MutableBytes(opened_).first(size);
      aead_->seal(key, 1, {}, plain, sealed);
      authentic_count_ += aead_->open(key, 1, {}, sealed, opened) ? 1 : 0;
      authentic_count_ += aead_->open(key, 2, {}, sealed, opened) ? 1 : 0;
      std::array<SealJob, 3> seals;
      seals.fill({.counter = 3, .plain = plain, .sealed = sealed});
      aead_->seal_batch(key, seals);
      std::array<OpenJob, 3> opens;
      opens.fill({.counter = 3, .sealed = sealed, .plain = opened});
      opens[1].counter = 4;
      aead_->open_batch(key, opens);
      for (const OpenJob& job : opens) authentic_count_ += job.authentic ? 1 : 0;
    }
  }

  std::unique_ptr<Aead> aead_;
  std::vector<uint8_t> plain_ = std::vector<uint8_t>(1420);
  std::vector<uint8_t> sealed_ = std::vector<uint8_t>(1420 + kTagBytes);
  std::vector<uint8_t> opened_ = std::vector<uint8_t>(1420);
  size_t authentic_count_ = 0;
};

TEST_P(AeadMemoryTest, NoPacketAllocates) {
  const auto key = aead_->make_key(make_secret());
  use(*key);  // what a library sets up at first use
  const size_t before = allocation_count;
  use(*key);
  EXPECT_EQ(allocation_count, before);
  EXPECT_EQ(authentic_count_, 2u * 21 * 3);
  (void)aead_->make_key(make_secret());
  EXPECT_GT(allocation_count, before) << "the count does not count";
}

TEST_P(AeadMemoryTest, NothingOfAKeyRemainsOnceItIsGone) {
  ASSERT_EQ(count_in_process(), 0u);
  auto key = aead_->make_key(make_secret());
  use(*key);
  EXPECT_GT(count_in_process(), 0u) << "the search does not find a key that is there";
  key.reset();
  EXPECT_EQ(count_in_process(), 0u);
}

// Every worker has a set of its own, and the node two, and the library's manager is 200 KB.
TEST(AeadMemory, AnotherOneOfTheFastBackendAddsNoManager) {
  const auto in_use = [] {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;  // what the heap has given out, and what was mapped apart
  };
  for (const Suite suite : {Suite::kChaCha20Poly1305, Suite::kAes256Gcm}) {
    const auto first = make_aead(Backend::kIpsecMb, suite);
    if (!first) GTEST_SKIP() << "this processor or build has no intel-ipsec-mb";
    const size_t before = in_use();
    const auto second = make_aead(Backend::kIpsecMb, suite);
    EXPECT_LT(in_use() - before, 1024u);
  }
}

INSTANTIATE_TEST_SUITE_P(All, AeadMemoryTest, testing::ValuesIn(test::all_backend_suites()),
                         [](const auto& parameter) { return test::name_of(parameter.param); });

}  // namespace
}  // namespace vpn::crypto
