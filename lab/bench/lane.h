// The one link that every candidate is measured on, and the tunnel over it.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "vpn/base/ip_address.h"

namespace lab::bench {

inline constexpr std::array<std::string_view, 2> kHosts = {"left", "right"};
inline constexpr std::array<std::string_view, 2> kLinkAddresses = {"192.0.2.1", "192.0.2.2"};
inline constexpr std::array<std::string_view, 2> kTunnelAddresses = {"10.77.0.1", "10.77.0.2"};
inline constexpr unsigned kLinkMtu = 1500;
inline constexpr unsigned kTunnelMtu = 1420;
inline constexpr unsigned kJumboLinkMtu = 9100;
inline constexpr unsigned kJumboTunnelMtu = 9000;

// Inner addresses of the peers of a crowd, and what is sent to them.
inline constexpr std::string_view kCrowdPrefix = "10.100.0.0/16";
inline constexpr size_t kCrowdPayloadBytes = 1372;
// As TCP and QUIC senders do: some packets of one flow, then some of another.
inline constexpr size_t kCrowdPacketsInARow = 16;
[[nodiscard]] inline vpn::IpAddress crowd_address(size_t index) {
  return vpn::IpAddress::ipv4(10, 100, static_cast<uint8_t>(index >> 8), static_cast<uint8_t>(index));
}

}  // namespace lab::bench
