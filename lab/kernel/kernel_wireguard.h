// The kernel's own WireGuard, which has no control socket: it is set and asked by generic netlink
// (linux/wireguard.h).
#pragma once

#include <string>

#include "lab/error.h"
#include "vpn/config/device_change.h"
#include "vpn/config/uapi.h"

namespace lab {

// Applies `change` to the interface, in the calling thread's network namespace.
[[nodiscard]] Result<void> set_kernel_device(const std::string& interface,
                                             const vpn::config::DeviceChange& change);

// What the interface tells of itself and its peers, keys and allowed-IPs left out; in the same namespace.
[[nodiscard]] Result<vpn::config::DeviceReport> get_kernel_device(const std::string& interface);

}  // namespace lab
