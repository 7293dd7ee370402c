// Arithmetic on prefixes: the n-th address of one, and whether two overlap.
#pragma once

#include <cstdint>
#include <optional>

#include "vpn/base/ip_address.h"

namespace lab {

// The address `number` places after the prefix's first one, with the prefix's length; nothing where the
// prefix has no such host (IPv4: the last address is the broadcast address and belongs to nobody).
[[nodiscard]] std::optional<vpn::IpPrefix> host_address(const vpn::IpPrefix& subnet, uint32_t number);

// Whether some address lies in both.
[[nodiscard]] bool overlap(const vpn::IpPrefix& a, const vpn::IpPrefix& b);

}  // namespace lab
