// The Aeads of intel-ipsec-mb (x86-64), the fastest where the processor has its vector instructions.
//
// AES-256-GCM goes through the direct calls. ChaCha20-Poly1305 goes through the job calls: the library
// completes an AEAD job before its submission returns, and does it in one pass, which the direct calls
// (start, update, finish) do not. For the same reason a burst gains nothing over one job after the other
// (both measured with vpn_crypto_bench: with AVX-512 at 1420 bytes direct 570 ns, jobs and bursts 380 ns), so
// batches need no code of their own.
//
// A manager takes 200 KB, nearly all for ciphers that are not ours: so all Aeads of a thread share one.
#include <intel-ipsec-mb.h>

#include "vpn/base/check.h"
#include "vpn/crypto/aead_backends.h"
#include "vpn/crypto/aead_nonce.h"

namespace vpn::crypto {
namespace {

constexpr std::string_view kName = "ipsec-mb";

using Tag = std::array<uint8_t, kTagBytes>;

// The library's manager: the functions for this processor, and a queue of jobs. Belongs to one thread at a
// time.
class Manager {
 public:
  Manager() noexcept : manager_(alloc_mb_mgr(0)) {
    if (manager_ != nullptr) init_mb_mgr_auto(manager_, nullptr);
  }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;
  ~Manager() {
    if (manager_ != nullptr) free_mb_mgr(manager_);
  }

  // Whether it was made, the library's own self-test passed, and the processor has AES instructions: without
  // them the library emulates AES, slower than the portable ones. With SSE alone it is still faster than they
  // are.
  [[nodiscard]] bool usable() const noexcept {
    constexpr uint64_t kNeeded = IMB_CPUFLAGS_SSE;
    return manager_ != nullptr && imb_get_errno(manager_) == 0 && (manager_->features & kNeeded) == kNeeded;
  }
  [[nodiscard]] IMB_MGR* get() const noexcept { return manager_; }

 private:
  IMB_MGR* manager_;
};

// Of this thread, whichever Aead it is for: between two calls no job is in it.
const Manager& manager_of_thread() noexcept {
  static thread_local const Manager manager;
  return manager;
}

IMB_MGR* manager() noexcept {
  IMB_MGR* const manager = manager_of_thread().get();
  VPN_CHECK(manager != nullptr);  // this thread has no memory for it, unlike the one that made the Aead
  return manager;
}

// The library wants a pointer even for nothing.
constexpr uint8_t kNothing = 0;
const uint8_t* data_or_nothing(BytesView bytes) noexcept {
  return bytes.empty() ? &kNothing : bytes.data();
}

// What both suites share once the tag is computed: the plaintext stays only if it is the one received.
bool keep_if_authentic(const Tag& computed, const Tag& received, MutableBytes plain) noexcept {
  // Constant-time like sodium_memcmp, but by vectors: that one's byte loop was 5 % of the inbound path.
  static_assert(kTagBytes == crypto_verify_16_BYTES);
  const bool authentic = crypto_verify_16(computed.data(), received.data()) == 0;
  if (!authentic) wipe(plain);
  return authentic;
}

// With AVX2 the library loads the key's second half with the 16 bytes that follow it, which it does not use
// (valgrind showed it); they belong to the key here.
class ChaChaKey final : public AeadKey {
 public:
  explicit ChaChaKey(const AeadSecret& secret) noexcept { copy_bytes(secret.view(), padded_.mutable_view()); }
  [[nodiscard]] const uint8_t* data() const noexcept { return padded_.view().data(); }

 private:
  Secret<kKeyBytes + 16> padded_;
};

class ChaChaAead final : public Aead {
 public:
  [[nodiscard]] bool usable() const noexcept { return manager_of_thread().usable(); }

  Suite suite() const noexcept override { return Suite::kChaCha20Poly1305; }
  std::string_view backend_name() const noexcept override { return kName; }

  std::unique_ptr<AeadKey> make_key(const AeadSecret& secret) noexcept override {
    return std::make_unique<ChaChaKey>(secret);
  }

  void seal(const AeadKey& key, Counter counter, BytesView associated, BytesView plain,
            MutableBytes sealed) noexcept override {
    VPN_CHECK(sealed.size() == plain.size() + kTagBytes);
    run(IMB_DIR_ENCRYPT, key, counter, associated, plain, sealed.data(), sealed.data() + plain.size());
  }

  bool open(const AeadKey& key, Counter counter, BytesView associated, BytesView sealed,
            MutableBytes plain) noexcept override {
    if (sealed.size() < kTagBytes) return false;
    VPN_CHECK(plain.size() == sealed.size() - kTagBytes);
    Tag received;
    Tag computed;
    copy_bytes(sealed.last<kTagBytes>(), received);
    run(IMB_DIR_DECRYPT, key, counter, associated, sealed.first(plain.size()), plain.data(), computed.data());
    return keep_if_authentic(computed, received, plain);
  }

 private:
  void run(IMB_CIPHER_DIRECTION direction, const AeadKey& key, Counter counter, BytesView associated,
           BytesView from, uint8_t* to, uint8_t* tag) noexcept {
    const Nonce nonce = make_nonce<Suite::kChaCha20Poly1305>(counter);
    const uint8_t* key_bytes = static_cast<const ChaChaKey&>(key).data();
    IMB_MGR* const jobs = manager();
    IMB_JOB* job = IMB_GET_NEXT_JOB(jobs);
    job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job->cipher_direction = direction;
    job->chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job->enc_keys = key_bytes;
    job->dec_keys = key_bytes;
    job->key_len_in_bytes = kKeyBytes;
    job->iv = nonce.data();
    job->iv_len_in_bytes = nonce.size();
    job->u.CHACHA20_POLY1305.aad = data_or_nothing(associated);
    job->u.CHACHA20_POLY1305.aad_len_in_bytes = associated.size();
    job->src = data_or_nothing(from);
    job->dst = to;
    job->cipher_start_src_offset_in_bytes = 0;
    job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_cipher_in_bytes = from.size();
    job->msg_len_to_hash_in_bytes = from.size();
    job->auth_tag_output = tag;
    job->auth_tag_output_len_in_bytes = kTagBytes;
    // Unchecked: nothing in the job comes from outside but bytes and lengths that any buffer may have.
    const IMB_JOB* done = IMB_SUBMIT_JOB_NOCHECK(jobs);
    VPN_CHECK(done == job && done->status == IMB_STATUS_COMPLETED);
  }
};

class AesKey final : public AeadKey {
 public:
  explicit AesKey(const AeadSecret& secret) noexcept {
    IMB_AES256_GCM_PRE(manager(), secret.view().data(), &schedule_);
  }
  AesKey(const AesKey&) = delete;
  AesKey& operator=(const AesKey&) = delete;
  ~AesKey() override { wipe({reinterpret_cast<uint8_t*>(&schedule_), sizeof schedule_}); }
  [[nodiscard]] const gcm_key_data* schedule() const noexcept { return &schedule_; }

 private:
  alignas(64) gcm_key_data schedule_;  // the header asks for this only under a macro of its own
};

class AesAead final : public Aead {
 public:
  [[nodiscard]] bool usable() const noexcept { return manager_of_thread().usable(); }

  Suite suite() const noexcept override { return Suite::kAes256Gcm; }
  std::string_view backend_name() const noexcept override { return kName; }

  std::unique_ptr<AeadKey> make_key(const AeadSecret& secret) noexcept override {
    return std::make_unique<AesKey>(secret);
  }

  void seal(const AeadKey& key, Counter counter, BytesView associated, BytesView plain,
            MutableBytes sealed) noexcept override {
    VPN_CHECK(sealed.size() == plain.size() + kTagBytes);
    const Nonce nonce = make_nonce<Suite::kAes256Gcm>(counter);
    alignas(64) gcm_context_data context;
    IMB_AES256_GCM_ENC(manager(), static_cast<const AesKey&>(key).schedule(), &context, sealed.data(),
                       data_or_nothing(plain), plain.size(), nonce.data(), data_or_nothing(associated),
                       associated.size(), sealed.data() + plain.size(), kTagBytes);
  }

  bool open(const AeadKey& key, Counter counter, BytesView associated, BytesView sealed,
            MutableBytes plain) noexcept override {
    if (sealed.size() < kTagBytes) return false;
    VPN_CHECK(plain.size() == sealed.size() - kTagBytes);
    Tag received;
    Tag computed;
    copy_bytes(sealed.last<kTagBytes>(), received);
    const Nonce nonce = make_nonce<Suite::kAes256Gcm>(counter);
    alignas(64) gcm_context_data context;
    IMB_AES256_GCM_DEC(manager(), static_cast<const AesKey&>(key).schedule(), &context, plain.data(),
                       sealed.data(), plain.size(), nonce.data(), data_or_nothing(associated),
                       associated.size(), computed.data(), kTagBytes);
    return keep_if_authentic(computed, received, plain);
  }
};

template <typename SuiteAead>
std::unique_ptr<Aead> make() noexcept {
  auto aead = std::make_unique<SuiteAead>();
  if (!aead->usable()) return nullptr;
  return aead;
}

}  // namespace

std::unique_ptr<Aead> make_ipsec_mb_aead(Suite suite) noexcept {
  switch (suite) {
    case Suite::kChaCha20Poly1305:
      return make<ChaChaAead>();
    case Suite::kAes256Gcm:
      return make<AesAead>();
  }
  return nullptr;
}

}  // namespace vpn::crypto
