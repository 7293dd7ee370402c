// The Aeads of libsodium. It authenticates before it decrypts, and zeroes the plaintext when the tag does not
// verify.
#include <sodium.h>

#include "vpn/base/check.h"
#include "vpn/crypto/aead_backends.h"
#include "vpn/crypto/aead_nonce.h"

namespace vpn::crypto {
namespace {

constexpr std::string_view kName = "libsodium";

class ChaChaKey final : public AeadKey {
 public:
  explicit ChaChaKey(const AeadSecret& secret) noexcept : secret_(secret) {}
  [[nodiscard]] const uint8_t* data() const noexcept { return secret_.view().data(); }

 private:
  AeadSecret secret_;
};

class ChaChaAead final : public Aead {
 public:
  Suite suite() const noexcept override { return Suite::kChaCha20Poly1305; }
  std::string_view backend_name() const noexcept override { return kName; }

  std::unique_ptr<AeadKey> make_key(const AeadSecret& secret) noexcept override {
    return std::make_unique<ChaChaKey>(secret);
  }

  void seal(const AeadKey& key, Counter counter, BytesView associated, BytesView plain,
            MutableBytes sealed) noexcept override {
    VPN_CHECK(sealed.size() == plain.size() + kTagBytes);
    const Nonce nonce = make_nonce<Suite::kChaCha20Poly1305>(counter);
    crypto_aead_chacha20poly1305_ietf_encrypt(sealed.data(), nullptr, plain.data(), plain.size(),
                                              associated.data(), associated.size(), nullptr, nonce.data(),
                                              static_cast<const ChaChaKey&>(key).data());
  }

  bool open(const AeadKey& key, Counter counter, BytesView associated, BytesView sealed,
            MutableBytes plain) noexcept override {
    if (sealed.size() < kTagBytes) return false;
    VPN_CHECK(plain.size() == sealed.size() - kTagBytes);
    const Nonce nonce = make_nonce<Suite::kChaCha20Poly1305>(counter);
    return crypto_aead_chacha20poly1305_ietf_decrypt(
               plain.data(), nullptr, nullptr, sealed.data(), sealed.size(), associated.data(),
               associated.size(), nonce.data(), static_cast<const ChaChaKey&>(key).data()) == 0;
  }
};

class AesKey final : public AeadKey {
 public:
  explicit AesKey(const AeadSecret& secret) noexcept {
    crypto_aead_aes256gcm_beforenm(&state_, secret.view().data());
  }
  AesKey(const AesKey&) = delete;
  AesKey& operator=(const AesKey&) = delete;
  ~AesKey() override { sodium_memzero(&state_, sizeof state_); }
  [[nodiscard]] const crypto_aead_aes256gcm_state* state() const noexcept { return &state_; }

 private:
  crypto_aead_aes256gcm_state state_;
};

class AesAead final : public Aead {
 public:
  Suite suite() const noexcept override { return Suite::kAes256Gcm; }
  std::string_view backend_name() const noexcept override { return kName; }

  std::unique_ptr<AeadKey> make_key(const AeadSecret& secret) noexcept override {
    return std::make_unique<AesKey>(secret);
  }

  void seal(const AeadKey& key, Counter counter, BytesView associated, BytesView plain,
            MutableBytes sealed) noexcept override {
    VPN_CHECK(sealed.size() == plain.size() + kTagBytes);
    const Nonce nonce = make_nonce<Suite::kAes256Gcm>(counter);
    crypto_aead_aes256gcm_encrypt_afternm(sealed.data(), nullptr, plain.data(), plain.size(),
                                          associated.data(), associated.size(), nullptr, nonce.data(),
                                          static_cast<const AesKey&>(key).state());
  }

  bool open(const AeadKey& key, Counter counter, BytesView associated, BytesView sealed,
            MutableBytes plain) noexcept override {
    if (sealed.size() < kTagBytes) return false;
    VPN_CHECK(plain.size() == sealed.size() - kTagBytes);
    const Nonce nonce = make_nonce<Suite::kAes256Gcm>(counter);
    return crypto_aead_aes256gcm_decrypt_afternm(plain.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                 associated.data(), associated.size(), nonce.data(),
                                                 static_cast<const AesKey&>(key).state()) == 0;
  }
};

}  // namespace

std::unique_ptr<Aead> make_sodium_aead(Suite suite) noexcept {
  switch (suite) {
    case Suite::kChaCha20Poly1305:
      return std::make_unique<ChaChaAead>();
    case Suite::kAes256Gcm:
      if (crypto_aead_aes256gcm_is_available() != 1) return nullptr;
      return std::make_unique<AesAead>();
  }
  return nullptr;
}

}  // namespace vpn::crypto
