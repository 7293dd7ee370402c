#include "vpn/host/dns.h"

#include <net/if.h>

#include <array>
#include <fstream>
#include <sstream>

#include "vpn/host/dns_file.h"
#include "vpn/host/dns_resolvconf.h"
#include "vpn/host/dns_resolved.h"

namespace vpn::host {

namespace {

struct Way {
  DnsMethod method;
  std::string_view name;
  bool resolved;
  bool resolvconf;
  bool file;
};

constexpr std::array<Way, 5> kWays{{
    {DnsMethod::kResolved, "resolved", true, false, false},
    {DnsMethod::kResolvconf, "resolvconf", false, true, false},
    {DnsMethod::kFile, "file", false, false, true},
    {DnsMethod::kResolvedAndResolvconf, "resolved, resolvconf", true, true, false},
    {DnsMethod::kResolvedAndFile, "resolved, file", true, false, true},
}};

const Way& way_of(DnsMethod method) noexcept {
  return kWays.at(static_cast<size_t>(method));
}

Result<bool, Error> revert_link(const std::string& interface) {
  // What resolved knows of an interface goes away with it.
  const unsigned index = if_nametoindex(interface.c_str());
  return index == 0 ? true : revert_resolved(index);
}

}  // namespace

std::string_view dns_method_name(DnsMethod method) noexcept {
  return way_of(method).name;
}

DnsMethod dns_method_of(std::string_view name) noexcept {
  for (const Way& way : kWays) {
    if (name == way.name) return way.method;
  }
  return DnsMethod::kFile;
}

DnsMethod find_dns_method() {
  if (!has_resolved()) return has_resolvconf() ? DnsMethod::kResolvconf : DnsMethod::kFile;
  std::ostringstream text;
  text << std::ifstream("/etc/resolv.conf").rdbuf();
  if (leads_to_resolved(text.str())) return DnsMethod::kResolved;
  return has_resolvconf() ? DnsMethod::kResolvedAndResolvconf : DnsMethod::kResolvedAndFile;
}

Result<bool, Error> may_set_dns(DnsMethod method, const std::string& interface) {
  return way_of(method).file ? DnsFile(interface).may_replace() : true;
}

Result<bool, Error> set_dns(DnsMethod method, const std::string& interface, unsigned index,
                            const SetDns& dns) {
  const Way& way = way_of(method);
  Result<bool, Error> done = way.resolved ? set_resolved(index, dns) : true;
  if (!done) return done;
  if (way.resolvconf) done = add_to_resolvconf(interface, dns);
  if (way.file) done = DnsFile(interface).replace(dns);
  if (!done && way.resolved) static_cast<void>(revert_link(interface));
  return done;
}

Result<bool, Error> unset_dns(std::string_view method, const std::string& interface) {
  const Way& way = way_of(dns_method_of(method));
  const Result<bool, Error> reverted = way.resolved ? revert_link(interface) : true;
  Result<bool, Error> done = true;
  if (way.resolvconf) done = remove_from_resolvconf(interface);
  if (way.file) done = DnsFile(interface).restore();
  return done && !reverted ? reverted : done;
}

}  // namespace vpn::host
