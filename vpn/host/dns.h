// Name resolution by whatever runs it on this host: systemd-resolved, resolvconf, or /etc/resolv.conf itself.
#pragma once

#include <string>
#include <string_view>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/host/host_change.h"

namespace vpn::host {

// Of the last two, systemd-resolved answers the programs that ask it by name (nss-resolve), and the other who
// goes by /etc/resolv.conf.
enum class DnsMethod : uint8_t {
  kResolved,
  kResolvconf,
  kFile,
  kResolvedAndResolvconf,
  kResolvedAndFile,
};
// "resolved", "resolvconf", "file", "resolved, resolvconf", "resolved, file"
[[nodiscard]] std::string_view dns_method_name(DnsMethod method) noexcept;
// By its name; any other name is the file's.
[[nodiscard]] DnsMethod dns_method_of(std::string_view name) noexcept;

// systemd-resolved where it is on the system bus, alone if /etc/resolv.conf leads to it and nowhere else.
// Else also resolvconf where it is in PATH, or else the file, or programs would go on asking the servers of
// before.
[[nodiscard]] DnsMethod find_dns_method();
// Nothing, or why set_dns would fail.
[[nodiscard]] Result<bool, Error> may_set_dns(DnsMethod method, const std::string& interface);
[[nodiscard]] Result<bool, Error> set_dns(DnsMethod method, const std::string& interface, unsigned index,
                                          const SetDns& dns);
// False: somebody changed it meanwhile, and it stays. `method` by its name, as a journal keeps it.
[[nodiscard]] Result<bool, Error> unset_dns(std::string_view method, const std::string& interface);

}  // namespace vpn::host
