#include "vpn/crypto/aead.h"

#include <sodium.h>

#include "vpn/base/check.h"

namespace vpn::crypto {

std::string_view suite_name(Suite suite) noexcept {
  switch (suite) {
    case Suite::kChaCha20Poly1305:
      return "ChaCha20-Poly1305";
    case Suite::kAes256Gcm:
      return "AES-256-GCM";
  }
  return "unknown";
}

void xchacha20_poly1305_seal(const AeadSecret& key, std::span<const uint8_t, kXNonceBytes> nonce,
                             BytesView associated, BytesView plain, MutableBytes sealed) noexcept {
  VPN_CHECK(sealed.size() == plain.size() + kTagBytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(sealed.data(), nullptr, plain.data(), plain.size(),
                                             associated.data(), associated.size(), nullptr, nonce.data(),
                                             key.view().data());
}

bool xchacha20_poly1305_open(const AeadSecret& key, std::span<const uint8_t, kXNonceBytes> nonce,
                             BytesView associated, BytesView sealed, MutableBytes plain) noexcept {
  if (sealed.size() < kTagBytes) return false;
  VPN_CHECK(plain.size() == sealed.size() - kTagBytes);
  return crypto_aead_xchacha20poly1305_ietf_decrypt(plain.data(), nullptr, nullptr, sealed.data(),
                                                    sealed.size(), associated.data(), associated.size(),
                                                    nonce.data(), key.view().data()) == 0;
}

}  // namespace vpn::crypto
