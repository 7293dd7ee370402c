// Name resolution by whatever runs it on this host: systemd-resolved, resolvconf, or /etc/resolv.conf itself.
#pragma once

#include <string>
#include <string_view>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/host/host_change.h"

namespace vpn::host {

enum class DnsMethod : uint8_t { kResolved, kResolvconf, kFile };
[[nodiscard]] std::string_view dns_method_name(
    DnsMethod method) noexcept;  // "resolved", "resolvconf", "file"
// By its name; any other name is the file's.
[[nodiscard]] DnsMethod dns_method_of(std::string_view name) noexcept;

// systemd-resolved where it is on the system bus, else resolvconf where it is in PATH, else the file.
[[nodiscard]] DnsMethod find_dns_method();
// Nothing, or why set_dns would fail.
[[nodiscard]] Result<bool, Error> may_set_dns(DnsMethod method, const std::string& interface);
[[nodiscard]] Result<bool, Error> set_dns(DnsMethod method, const std::string& interface, unsigned index,
                                          const SetDns& dns);
// False: somebody changed it meanwhile, and it stays. `method` by its name, as a journal keeps it.
[[nodiscard]] Result<bool, Error> unset_dns(std::string_view method, const std::string& interface);

}  // namespace vpn::host
