// resolvconf (Debian's or openresolv), which is a program and has no other interface.
#pragma once

#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/host/host_change.h"

namespace vpn::host {

// Whether it is in PATH, and what it is told ends up in /etc/resolv.conf.
[[nodiscard]] bool has_resolvconf();
[[nodiscard]] Result<bool, Error> add_to_resolvconf(const std::string& interface, const SetDns& dns);
[[nodiscard]] Result<bool, Error> remove_from_resolvconf(const std::string& interface);

}  // namespace vpn::host
