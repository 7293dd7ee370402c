// The largest packet that fits a tunnel.
#pragma once

#include <algorithm>
#include <cstdint>

#include "vpn/base/ip_address.h"

namespace vpn::host {

inline constexpr uint32_t kLeastTunnelMtu = 1280;  // what IPv6 inside needs

// What a data message adds to a packet: outer IPv4 20 or IPv6 40, UDP 8, header 16, tag 16 bytes.
[[nodiscard]] constexpr uint32_t tunnel_overhead_bytes(IpFamily outer) noexcept {
  return (outer == IpFamily::kIpv4 ? 20 : 40) + 8 + 16 + 16;
}

// What a path of `path_mtu` bytes takes in one piece.
[[nodiscard]] constexpr uint32_t tunnel_room_over(uint32_t path_mtu, IpFamily outer) noexcept {
  const uint32_t overhead = tunnel_overhead_bytes(outer);
  return std::min<uint32_t>(path_mtu > overhead ? path_mtu - overhead : 0, 65535 - overhead);
}

// The same, but at least kLeastTunnelMtu, where fragments have to do.
[[nodiscard]] constexpr uint16_t tunnel_mtu_over(uint32_t path_mtu, IpFamily outer) noexcept {
  return static_cast<uint16_t>(std::max(tunnel_room_over(path_mtu, outer), kLeastTunnelMtu));
}

// What a route through a tunnel of a larger MTU must say, so that nothing is longer than `room` once it is
// padded.
[[nodiscard]] constexpr uint16_t padded_mtu_in(uint32_t room) noexcept {
  return static_cast<uint16_t>(room / 16 * 16);
}

}  // namespace vpn::host
