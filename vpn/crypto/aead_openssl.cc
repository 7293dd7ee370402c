// The Aeads of OpenSSL's libcrypto, through EVP: both suites on every processor, so the fallback of all
// others.
#include <openssl/evp.h>

#include <climits>

#include "vpn/base/check.h"
#include "vpn/crypto/aead_backends.h"
#include "vpn/crypto/aead_nonce.h"

namespace vpn::crypto {
namespace {

// EVP keeps the schedule of a key inside a context, and a context belongs to one thread; so the key object
// holds only the bytes, and the Aead's context takes them for the length of a call (or of a batch).
class EvpKey final : public AeadKey {
 public:
  explicit EvpKey(const AeadSecret& secret) noexcept : secret_(secret) {}
  [[nodiscard]] const uint8_t* data() const noexcept { return secret_.view().data(); }

 private:
  AeadSecret secret_;
};

constexpr int kEncrypt = 1;
constexpr int kDecrypt = 0;

int evp_length(size_t size) noexcept {
  VPN_CHECK(size <= INT_MAX);
  return static_cast<int>(size);
}

// A context for one direction, allocated once.
class EvpContext {
 public:
  explicit EvpContext(int direction) noexcept : context_(EVP_CIPHER_CTX_new()), direction_(direction) {
    VPN_CHECK(context_ != nullptr);
  }
  EvpContext(const EvpContext&) = delete;
  EvpContext& operator=(const EvpContext&) = delete;
  ~EvpContext() { EVP_CIPHER_CTX_free(context_); }

  // False where the library does not have the cipher (for example under its FIPS provider).
  [[nodiscard]] bool start(const EVP_CIPHER* cipher) noexcept {
    return EVP_CipherInit_ex(context_, cipher, nullptr, kNoKey, nullptr, direction_) == 1;
  }

  void set_key(const uint8_t* key) noexcept {
    VPN_CHECK(EVP_CipherInit_ex(context_, nullptr, nullptr, key, nullptr, direction_) == 1);
  }
  // Overwrites the schedule, so that a key does not outlive its AeadKey in here.
  void forget_key() noexcept { set_key(kNoKey); }

  void seal(const Nonce& nonce, BytesView associated, BytesView plain, MutableBytes sealed) noexcept {
    VPN_CHECK(sealed.size() == plain.size() + kTagBytes);
    begin(nonce, associated);
    VPN_CHECK(update(plain, sealed.data()));
    VPN_CHECK(finish());
    VPN_CHECK(EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kTagBytes),
                                  sealed.data() + plain.size()) == 1);
  }

  [[nodiscard]] bool open(const Nonce& nonce, BytesView associated, BytesView sealed,
                          MutableBytes plain) noexcept {
    if (sealed.size() < kTagBytes) return false;
    VPN_CHECK(plain.size() == sealed.size() - kTagBytes);
    std::array<uint8_t, kTagBytes> tag;
    copy_bytes(sealed.last<kTagBytes>(), tag);
    begin(nonce, associated);
    VPN_CHECK(
        EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag.size()), tag.data()) == 1);
    // EVP hands out plaintext before it has seen the tag.
    const bool authentic = update(sealed.first(plain.size()), plain.data()) && finish();
    if (!authentic) wipe(plain);
    return authentic;
  }

 private:
  static constexpr uint8_t kNoKey[kKeyBytes] = {};

  void begin(const Nonce& nonce, BytesView associated) noexcept {
    VPN_CHECK(EVP_CipherInit_ex(context_, nullptr, nullptr, nullptr, nonce.data(), direction_) == 1);
    int written = 0;
    if (!associated.empty()) {
      VPN_CHECK(EVP_CipherUpdate(context_, nullptr, &written, associated.data(),
                                 evp_length(associated.size())) == 1);
    }
  }
  [[nodiscard]] bool update(BytesView from, uint8_t* to) noexcept {
    int written = 0;
    return from.empty() ||
           EVP_CipherUpdate(context_, to, &written, from.data(), evp_length(from.size())) == 1;
  }
  [[nodiscard]] bool finish() noexcept {
    uint8_t nothing[EVP_MAX_BLOCK_LENGTH];
    int written = 0;
    return EVP_CipherFinal_ex(context_, nothing, &written) == 1;
  }

  EVP_CIPHER_CTX* context_;
  int direction_;
};

// Holds a key in a context as long as it lives.
class KeyInUse {
 public:
  KeyInUse(EvpContext& context, const AeadKey& key) noexcept : context_(context) {
    context_.set_key(static_cast<const EvpKey&>(key).data());
  }
  KeyInUse(const KeyInUse&) = delete;
  KeyInUse& operator=(const KeyInUse&) = delete;
  ~KeyInUse() { context_.forget_key(); }

 private:
  EvpContext& context_;
};

template <Suite kSuite>
class EvpAead final : public Aead {
 public:
  [[nodiscard]] bool start() noexcept { return sealing_.start(cipher()) && opening_.start(cipher()); }

  Suite suite() const noexcept override { return kSuite; }
  std::string_view backend_name() const noexcept override { return "openssl"; }

  std::unique_ptr<AeadKey> make_key(const AeadSecret& secret) noexcept override {
    return std::make_unique<EvpKey>(secret);
  }

  void seal(const AeadKey& key, Counter counter, BytesView associated, BytesView plain,
            MutableBytes sealed) noexcept override {
    const KeyInUse in_use(sealing_, key);
    sealing_.seal(make_nonce<kSuite>(counter), associated, plain, sealed);
  }

  bool open(const AeadKey& key, Counter counter, BytesView associated, BytesView sealed,
            MutableBytes plain) noexcept override {
    const KeyInUse in_use(opening_, key);
    return opening_.open(make_nonce<kSuite>(counter), associated, sealed, plain);
  }

  void seal_batch(const AeadKey& key, std::span<SealJob> jobs) noexcept override {
    const KeyInUse in_use(sealing_, key);
    for (SealJob& job : jobs) sealing_.seal(make_nonce<kSuite>(job.counter), {}, job.plain, job.sealed);
  }

  void open_batch(const AeadKey& key, std::span<OpenJob> jobs) noexcept override {
    const KeyInUse in_use(opening_, key);
    for (OpenJob& job : jobs) {
      job.authentic = opening_.open(make_nonce<kSuite>(job.counter), {}, job.sealed, job.plain);
    }
  }

 private:
  static const EVP_CIPHER* cipher() noexcept {
    return kSuite == Suite::kChaCha20Poly1305 ? EVP_chacha20_poly1305() : EVP_aes_256_gcm();
  }

  EvpContext sealing_{kEncrypt};
  EvpContext opening_{kDecrypt};
};

template <Suite kSuite>
std::unique_ptr<Aead> make() noexcept {
  auto aead = std::make_unique<EvpAead<kSuite>>();
  if (!aead->start()) return nullptr;
  return aead;
}

}  // namespace

std::unique_ptr<Aead> make_openssl_aead(Suite suite) noexcept {
  switch (suite) {
    case Suite::kChaCha20Poly1305:
      return make<Suite::kChaCha20Poly1305>();
    case Suite::kAes256Gcm:
      return make<Suite::kAes256Gcm>();
  }
  return nullptr;
}

}  // namespace vpn::crypto
