#include "vpn/crypto/x25519.h"

#include <sodium.h>

#include "vpn/base/check.h"

namespace vpn::crypto {

void clamp(std::span<uint8_t, 32> private_key) noexcept {
  private_key[0] &= 248;
  private_key[31] = static_cast<uint8_t>((private_key[31] & 127) | 64);
}

PublicKey derive_public_key(PrivateKeyView private_key) noexcept {
  PublicKey public_key;
  VPN_CHECK(crypto_scalarmult_curve25519_base(public_key.bytes.data(), private_key.data()) == 0);
  return public_key;
}

bool x25519(PrivateKeyView private_key, const PublicKey& public_key, SharedSecret& shared) noexcept {
  // libsodium refuses the points of small order, whose result would be zero; the check below holds for any
  // library.
  const int refused =
      crypto_scalarmult_curve25519(shared.mutable_view().data(), private_key.data(), public_key.bytes.data());
  if (refused == 0 && !shared.is_zero()) return true;
  shared.clear();
  return false;
}

}  // namespace vpn::crypto
