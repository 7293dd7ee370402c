// The kernel's own WireGuard, which has no control socket: it is set and asked by generic netlink
// (linux/wireguard.h).
#pragma once

#include <string>

#include "lab/error.h"
#include "vpn/config/device_change.h"

namespace lab {

// Applies `change` to the interface, in the calling thread's network namespace.
[[nodiscard]] Result<void> set_kernel_device(const std::string& interface,
                                             const vpn::config::DeviceChange& change);

}  // namespace lab
