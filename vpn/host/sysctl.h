// Sysctls, by their names below /proc/sys ("net/ipv4/ip_forward").
#pragma once

#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"

namespace vpn::host {

// The value's first line, without its end. An error where the kernel has no such name, or does not show it.
[[nodiscard]] Result<std::string, Error> read_sysctl(const std::string& name);
// In the network namespace of the caller, for the names of net/. An error, with what to do, where it may not
// be written.
[[nodiscard]] Result<bool, Error> write_sysctl(const std::string& name, const std::string& value);
// Nothing, or why write_sysctl would fail.
[[nodiscard]] Result<bool, Error> may_write_sysctl(const std::string& name);

}  // namespace vpn::host
