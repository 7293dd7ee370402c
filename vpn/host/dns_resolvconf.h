// resolvconf (Debian's or openresolv), which is a program and has no other interface.
#pragma once

#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/host/host_change.h"

namespace vpn::host {

// Whether it is in PATH, and what it is told ends up in /etc/resolv.conf: systemd-resolved brings a program
// of that name too (resolvectl(1)), which tells only systemd-resolved.
[[nodiscard]] bool has_resolvconf();
// Makes these the name servers and search domains, before all others, under the interface's name. Waits for
// the program; an error where it cannot be run or fails.
[[nodiscard]] Result<bool, Error> add_to_resolvconf(const std::string& interface, const SetDns& dns);
// Takes back what was added under that name; what is not there is no error.
[[nodiscard]] Result<bool, Error> remove_from_resolvconf(const std::string& interface);

}  // namespace vpn::host
