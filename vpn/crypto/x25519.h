// X25519 (RFC 7748) by libsodium.
#pragma once

#include <span>

#include "vpn/base/ids.h"
#include "vpn/base/secret.h"

namespace vpn::crypto {

using PrivateKeyView = std::span<const uint8_t, 32>;
using SharedSecret = Secret<32>;

// Clears the low three bits and the highest, sets the second highest (RFC 7748 section 5).
void clamp(std::span<uint8_t, 32> private_key) noexcept;

// The public key that belongs to a private key, clamped or not.
[[nodiscard]] PublicKey derive_public_key(PrivateKeyView private_key) noexcept;

// The Diffie-Hellman result. False (and `shared` zero) when it is all zeros, as with a low-order public key.
[[nodiscard]] bool x25519(PrivateKeyView private_key, const PublicKey& public_key,
                          SharedSecret& shared) noexcept;

}  // namespace vpn::crypto
