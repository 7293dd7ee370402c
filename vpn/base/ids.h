// Numbers that must not be mistaken for one another.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace vpn {

// A peer's number within one Node: never used again after the peer is removed.
struct PeerId {
  uint32_t value = 0;
  friend constexpr auto operator<=>(PeerId, PeerId) = default;
};

// The 32-bit random name under which we receive a handshake's or a session's messages.
struct SessionIndex {
  uint32_t value = 0;
  friend constexpr auto operator<=>(SessionIndex, SessionIndex) = default;
};

// The nonce counter of a data message.
using Counter = uint64_t;

// An X25519 public key, 32 bytes as on the wire.
struct PublicKey {
  std::array<uint8_t, 32> bytes{};
  friend constexpr auto operator<=>(const PublicKey&, const PublicKey&) = default;
};

}  // namespace vpn

template <>
struct std::hash<vpn::PeerId> {
  size_t operator()(vpn::PeerId id) const noexcept { return id.value; }
};
template <>
struct std::hash<vpn::SessionIndex> {
  size_t operator()(vpn::SessionIndex index) const noexcept { return index.value; }
};
