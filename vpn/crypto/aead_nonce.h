// The 12-byte nonce of a data packet, made from its counter as each suite orders it.
#pragma once

#include <array>

#include "vpn/base/endian.h"
#include "vpn/base/ids.h"
#include "vpn/crypto/aead.h"

namespace vpn::crypto {

inline constexpr size_t kNonceBytes = 12;
using Nonce = std::array<uint8_t, kNonceBytes>;

// Noise section 12: 4 zero bytes, then the counter, little-endian for ChaChaPoly and big-endian for AESGCM.
template <Suite suite>
Nonce make_nonce(Counter counter) noexcept {
  constexpr size_t kZeroBytes = kNonceBytes - sizeof counter;
  Nonce nonce{};
  if constexpr (suite == Suite::kChaCha20Poly1305) {
    store_le(nonce.data() + kZeroBytes, counter);
  } else {
    store_be(nonce.data() + kZeroBytes, counter);
  }
  return nonce;
}

}  // namespace vpn::crypto
