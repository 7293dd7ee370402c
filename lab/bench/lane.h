// The one link that every candidate is measured on, and the tunnel over it.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace lab::bench {

inline constexpr std::array<std::string_view, 2> kHosts = {"left", "right"};
inline constexpr std::array<std::string_view, 2> kLinkAddresses = {"192.0.2.1", "192.0.2.2"};
inline constexpr std::array<std::string_view, 2> kTunnelAddresses = {"10.77.0.1", "10.77.0.2"};
inline constexpr unsigned kLinkMtu = 1500;
inline constexpr unsigned kTunnelMtu = 1420;
inline constexpr unsigned kJumboLinkMtu = 9100;
inline constexpr unsigned kJumboTunnelMtu = 9000;

}  // namespace lab::bench
