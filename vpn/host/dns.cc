#include "vpn/host/dns.h"

#include <net/if.h>

#include "vpn/host/dns_file.h"
#include "vpn/host/dns_resolvconf.h"
#include "vpn/host/dns_resolved.h"

namespace vpn::host {

std::string_view dns_method_name(DnsMethod method) noexcept {
  switch (method) {
    case DnsMethod::kResolved:
      return "resolved";
    case DnsMethod::kResolvconf:
      return "resolvconf";
    case DnsMethod::kFile:
      return "file";
  }
  return "";
}

DnsMethod dns_method_of(std::string_view name) noexcept {
  for (const DnsMethod method : {DnsMethod::kResolved, DnsMethod::kResolvconf}) {
    if (name == dns_method_name(method)) return method;
  }
  return DnsMethod::kFile;
}

DnsMethod find_dns_method() {
  if (has_resolved()) return DnsMethod::kResolved;
  return has_resolvconf() ? DnsMethod::kResolvconf : DnsMethod::kFile;
}

Result<bool, Error> may_set_dns(DnsMethod method, const std::string& interface) {
  return method == DnsMethod::kFile ? DnsFile(interface).may_replace() : true;
}

Result<bool, Error> set_dns(DnsMethod method, const std::string& interface, unsigned index,
                            const SetDns& dns) {
  switch (method) {
    case DnsMethod::kResolved:
      return set_resolved(index, dns);
    case DnsMethod::kResolvconf:
      return add_to_resolvconf(interface, dns);
    case DnsMethod::kFile:
      return DnsFile(interface).replace(dns);
  }
  return true;
}

Result<bool, Error> unset_dns(std::string_view method, const std::string& interface) {
  if (method == dns_method_name(DnsMethod::kFile)) return DnsFile(interface).restore();
  if (method == dns_method_name(DnsMethod::kResolvconf)) return remove_from_resolvconf(interface);
  // What resolved knows of an interface goes away with it.
  const unsigned index = if_nametoindex(interface.c_str());
  return index == 0 ? true : revert_resolved(index);
}

}  // namespace vpn::host
