// BLAKE2s (RFC 7693) by libb2, and what the protocol builds from it: HASH, MAC, HMAC and the Noise KDF.
#pragma once

#include <array>
#include <initializer_list>

#include "vpn/base/bytes.h"
#include "vpn/base/secret.h"

namespace vpn::crypto {

inline constexpr size_t kHashBytes = 32;
inline constexpr size_t kMacBytes = 16;

using Hash = std::array<uint8_t, kHashBytes>;
using Mac = std::array<uint8_t, kMacBytes>;
using ChainSecret = Secret<kHashBytes>;

// BLAKE2s-256 over the concatenation of `parts`.
[[nodiscard]] Hash blake2s(std::initializer_list<BytesView> parts) noexcept;

// Keyed BLAKE2s with a 16-byte output over the concatenation of `parts`; the key has 1 … 32 bytes.
[[nodiscard]] Mac blake2s_mac16(BytesView key, std::initializer_list<BytesView> parts) noexcept;

// HMAC (RFC 2104) with BLAKE2s-256; any key length.
[[nodiscard]] ChainSecret hmac_blake2s(BytesView key, std::initializer_list<BytesView> parts) noexcept;

// The Noise HKDF (section 4.3), which is RFC 5869 with an empty info: extract with `chain` as the salt,
// expand to one, two or three 32-byte outputs.
[[nodiscard]] ChainSecret kdf1(const ChainSecret& chain, BytesView input) noexcept;
struct Kdf2 {
  ChainSecret first, second;
};
// The first two outputs of the chain.
[[nodiscard]] Kdf2 kdf2(const ChainSecret& chain, BytesView input) noexcept;
struct Kdf3 {
  ChainSecret first, second, third;
};
// The first three outputs of the chain.
[[nodiscard]] Kdf3 kdf3(const ChainSecret& chain, BytesView input) noexcept;

}  // namespace vpn::crypto
