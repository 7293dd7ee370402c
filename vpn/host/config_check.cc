#include "vpn/host/config_check.h"

#include <net/if.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

#include "vpn/host/host_change.h"

namespace vpn::host {
namespace {

using config::Config;
using config::InterfaceConfig;
using config::RouteTable;

// The allowed-IPs of all peers, to look thousands of addresses up in.
class AllowedIps {
 public:
  explicit AllowedIps(const Config& config) {
    for (const config::PeerConfig& peer : config.peers) {
      for (const IpPrefix& prefix : peer.allowed_ips) {
        prefixes_.insert(prefix);
        lengths_.insert(prefix.length);
      }
    }
  }
  // The longest of them that the address is inside.
  [[nodiscard]] std::optional<IpPrefix> find(const IpAddress& address) const {
    for (const uint8_t length : lengths_) {
      if (length > address.bit_count()) continue;
      const IpPrefix prefix{address.masked(length), length};
      if (prefixes_.contains(prefix)) return prefix;
    }
    return std::nullopt;
  }

 private:
  std::set<IpPrefix> prefixes_;
  std::set<uint8_t, std::greater<>> lengths_;
};

// The length of the longest route into the tunnel that would take the address: that of an allowed-IP, which
// it is inside, or of the network of one of our addresses.
unsigned length_of_route(const InterfaceConfig& interface, const IpPrefix& allowed,
                         const IpAddress& address) {
  unsigned length = allowed.length;
  for (const IpPrefix& own : interface.addresses) {
    if (own.contains(address)) length = std::max<unsigned>(length, own.length);
  }
  return length;
}

// A full tunnel leaves marked packets alone; any other route into the tunnel takes what it matches, where no
// longer one leads elsewhere, as to a gateway on our own link.
Result<bool, Error> check_endpoints(const Config& config, const config::ResolvedEndpoints& resolved,
                                    const LeadsPastTunnel& leads_past, const std::string& file) {
  const InterfaceConfig& interface = config.interface;
  const bool routes_in_main =
      interface.table.kind == RouteTable::Kind::kAuto ||
      (interface.table.kind == RouteTable::Kind::kNumber && interface.table.number == kMainTable);
  if (!routes_in_main || is_full_tunnel(config) || interface.fwmark != 0) return true;
  const AllowedIps allowed(config);
  for (const config::PeerConfig& peer : config.peers) {
    for (const UdpAddress& endpoint : config::candidates_of(peer, resolved)) {
      const auto prefix = allowed.find(endpoint.address);
      if (!prefix || leads_past(endpoint.address, length_of_route(interface, *prefix, endpoint.address)))
        continue;
      return fail(
          Error{file, peer.endpoint_line.number, "Endpoint",
                endpoint.address.to_string() + " is inside AllowedIPs " + prefix->to_string() +
                    ", so that the tunnel would run through itself",
                "take it out of AllowedIPs, or give FwMark and a rule that keeps marked packets out"});
    }
  }
  return true;
}

Result<bool, Error> check_cgroups(const InterfaceConfig& interface, const std::string& file) {
  const auto wrong = [&](const std::string& key, std::string problem, std::string remedy) {
    return fail(Error{file, interface.cgroup_line.number, key, std::move(problem), std::move(remedy)});
  };
  if (!interface.tunnel_cgroups.empty() && !interface.bypass_cgroups.empty())
    return wrong("BypassCgroup", "given together with TunnelCgroup", "keep one of the two");
  if (!interface.tunnel_cgroups.empty() && interface.kill_switch)
    return wrong("TunnelCgroup", "given together with KillSwitch, which shuts out everything else",
                 "keep one of the two");
  return true;
}

}  // namespace

Result<bool, Error> check_config(const Config& config, const config::ResolvedEndpoints& resolved,
                                 uint32_t mark, const LeadsPastTunnel& leads_past, const std::string& file) {
  const InterfaceConfig& interface = config.interface;
  if (is_full_tunnel(config) && mark >= 253 && mark <= 255) {
    return fail(Error{file, 0, "FwMark",
                      std::to_string(mark) + " is also the number of a table of the system's own",
                      "choose another, a full tunnel has the table of this number"});
  }
  if (!interface.masquerade.empty() && if_nametoindex(interface.masquerade.c_str()) == 0) {
    return fail(Error{file, interface.masquerade_line.number, "Masquerade",
                      "there is no interface " + interface.masquerade, "give one that 'ip link' shows"});
  }
  if (auto fine = check_cgroups(interface, file); !fine) return fine;
  return check_endpoints(config, resolved, leads_past, file);
}

}  // namespace vpn::host
