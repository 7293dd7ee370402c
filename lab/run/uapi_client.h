// The client's side of WireGuard's control socket: how the lab talks to any daemon.
#pragma once

#include <string>

#include "lab/error.h"
#include "vpn/config/uapi.h"

namespace lab {

// `socket` is the path of /var/run/wireguard/INTERFACE.sock as the caller sees it.
[[nodiscard]] Result<void> set_device(const std::string& socket, const vpn::config::DeviceChange& change);
[[nodiscard]] Result<vpn::config::DeviceReport> get_device(const std::string& socket);

}  // namespace lab
