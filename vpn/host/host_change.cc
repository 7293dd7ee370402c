#include "vpn/host/host_change.h"

#include <algorithm>
#include <array>
#include <set>

namespace vpn::host {
namespace {

using config::Config;
using config::RouteTable;

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

const char* family_name(IpFamily family) {
  return family == IpFamily::kIpv4 ? "IPv4" : "IPv6";
}

// Every allowed-IP of every peer once, the longest prefixes first, as wg-quick adds them.
std::vector<IpPrefix> destinations(const Config& config) {
  std::vector<IpPrefix> all;
  for (const auto& peer : config.peers)
    all.insert(all.end(), peer.allowed_ips.begin(), peer.allowed_ips.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  std::stable_sort(all.begin(), all.end(),
                   [](const IpPrefix& a, const IpPrefix& b) { return a.length > b.length; });
  return all;
}

bool is_default(const IpPrefix& prefix) {
  return prefix.length == 0;
}

bool has_default(const Config& config, IpFamily family) {
  const auto is_of_family = [family](const IpPrefix& prefix) {
    return is_default(prefix) && prefix.address.family() == family;
  };
  return std::any_of(config.peers.begin(), config.peers.end(), [&](const config::PeerConfig& peer) {
    return std::any_of(peer.allowed_ips.begin(), peer.allowed_ips.end(), is_of_family);
  });
}

// Whether the kernel's own route of one of our addresses leads there already.
bool is_on_link(const Config& config, const IpPrefix& prefix) {
  const auto& addresses = config.interface.addresses;
  return std::any_of(addresses.begin(), addresses.end(), [&](const IpPrefix& address) {
    return address.length <= prefix.length && address.contains(prefix.address);
  });
}

// What gets through to the peer that has the prefix, where that is less than the tunnel's MTU.
using NarrowPaths = std::map<IpPrefix, uint32_t>;

NarrowPaths narrow_paths(const Config& config, const HostFacts& facts) {
  NarrowPaths paths;
  for (const auto& [key, mtu] : facts.path_mtus) {
    const config::PeerConfig* const peer = config.find_peer(key);
    if (peer == nullptr) continue;
    for (const IpPrefix& prefix : peer->allowed_ips) paths.emplace(prefix, mtu);
  }
  return paths;
}

// 0: the tunnel's MTU.
uint32_t path_mtu_of(const NarrowPaths& paths, const IpPrefix& prefix) {
  const auto found = paths.find(prefix);
  return found == paths.end() ? 0 : found->second;
}

FirewallSpec firewall_for(const Config& config, const HostFacts& facts) {
  const config::InterfaceConfig& interface = config.interface;
  FirewallSpec spec;
  spec.interface = facts.interface;
  for (const IpPrefix& address : interface.addresses) {
    if (!facts.shared_addresses.contains(address.address)) spec.own_addresses.push_back(address.address);
  }
  spec.mark = facts.mark;
  spec.listen_port = facts.listen_port;
  spec.full_tunnel = is_full_tunnel(config);
  if (spec.full_tunnel) {
    spec.sessions = facts.sessions.value_or(std::vector<TcpSession>());
    spec.tunnel_cgroups = interface.tunnel_cgroups;
    spec.bypass_cgroups = interface.bypass_cgroups;
    spec.cgroup_folder = facts.cgroup_folder;
    spec.cgroup_ids = facts.cgroup_ids;
  }
  spec.answers_anyone = std::any_of(config.peers.begin(), config.peers.end(),
                                    [](const auto& peer) { return peer.endpoints.empty(); });
  spec.kill_switch = interface.kill_switch;
  if (spec.kill_switch) {
    for (const OtherTunnel& other : facts.other_tunnels) spec.other_tunnels.insert(other.name);
    spec.endpoints = facts.endpoints;
    spec.dns = interface.dns;
    spec.allow_lan = interface.allow_lan;
  }
  spec.gateway = is_gateway(config);
  spec.masquerade = interface.masquerade;
  spec.client_to_client = interface.client_to_client;
  return spec;
}

// A table of our own for a family whose every packet is the tunnel's, or, where that takes none, nobody's.
void plan_full_tunnel(const Config& config, const HostFacts& facts, IpFamily family, HostPlan& plan) {
  const IpPrefix everything{family == IpFamily::kIpv4 ? IpAddress() : *IpAddress::parse("::"), 0};
  const uint32_t table = facts.mark;
  const NarrowPaths narrow = narrow_paths(config, facts);
  for (const IpPrefix& prefix : destinations(config)) {
    if (prefix.address.family() != family) continue;
    plan.emplace_back(AddRoute{prefix, table, RouteKind::kTunnel, path_mtu_of(narrow, prefix)});
  }
  plan.emplace_back(AddRoute{everything, table, RouteKind::kUnreachable});
  const std::vector<IpPrefix> own = destinations(config);
  for (const auto& [network, interface, name] : facts.other_tunnels) {
    const bool is_taken = std::find(own.begin(), own.end(), network) != own.end();
    if (network.address.family() == family && !is_taken)
      plan.emplace_back(AddRoute{network, table, RouteKind::kTunnel, 0, interface});
  }
  for (const IpPrefix& prefix : config.interface.allow_lan) {
    if (prefix.address.family() == family) plan.emplace_back(AddRoute{prefix, table, RouteKind::kThrow});
  }
  // Neighbours on a link are found and answered there.
  if (family == IpFamily::kIpv6)
    plan.emplace_back(AddRoute{*IpPrefix::parse("fe80::/10"), table, RouteKind::kThrow});
  const bool chosen_only = !config.interface.tunnel_cgroups.empty();
  plan.emplace_back(
      AddMarkRule{family, chosen_only ? tunnel_mark(facts.mark) : facts.mark, table, !chosen_only});
}

// The kernel's own route of an address cannot be given an MTU; what is more specific outranks it.
void plan_narrow_on_link(const Config& config, const IpPrefix& prefix, uint32_t mtu, HostPlan& plan) {
  const auto& own = config.interface.addresses;
  const bool is_own_network = std::any_of(
      own.begin(), own.end(), [&](const IpPrefix& address) { return address.normalized() == prefix; });
  if (!is_own_network || prefix.length >= prefix.address.bit_count()) {
    plan.emplace_back(AddRoute{prefix, kMainTable, RouteKind::kTunnel, mtu});
    return;
  }
  const auto length = static_cast<uint8_t>(prefix.length + 1);
  std::array<uint8_t, 16> bytes{};
  const BytesView from = prefix.address.bytes();
  std::copy(from.begin(), from.end(), bytes.begin());
  bytes[prefix.length / 8] |= static_cast<uint8_t>(0x80 >> (prefix.length % 8));
  const IpAddress upper = prefix.address.is_ipv4()
                              ? IpAddress::ipv4(std::span<const uint8_t, 4>(bytes.data(), 4))
                              : IpAddress::ipv6(bytes);
  for (const IpAddress& half : {prefix.address, upper})
    plan.emplace_back(AddRoute{{half, length}, kMainTable, RouteKind::kTunnel, mtu});
}

void plan_routes(const Config& config, const HostFacts& facts, HostPlan& plan) {
  const RouteTable& table = config.interface.table;
  if (table.kind == RouteTable::Kind::kOff) return;
  const bool is_auto = table.kind == RouteTable::Kind::kAuto;
  const NarrowPaths narrow = narrow_paths(config, facts);
  for (const IpFamily family : {IpFamily::kIpv4, IpFamily::kIpv6}) {
    const bool shut = family == IpFamily::kIpv6 && !has_default(config, family) && facts.has_ipv6 &&
                      has_default(config, IpFamily::kIpv4);
    if (is_auto && (shut || has_default(config, family))) {
      plan_full_tunnel(config, facts, family, plan);
      continue;
    }
    for (const IpPrefix& prefix : destinations(config)) {
      if (prefix.address.family() != family) continue;
      const uint32_t mtu = path_mtu_of(narrow, prefix);
      if (!is_auto) {
        plan.emplace_back(AddRoute{prefix, table.number, RouteKind::kTunnel, mtu});
      } else if (!is_on_link(config, prefix)) {
        plan.emplace_back(AddRoute{prefix, kMainTable, RouteKind::kTunnel, mtu});
      } else if (mtu != 0) {
        plan_narrow_on_link(config, prefix, mtu, plan);
      }
    }
  }
}

void plan_sysctls(const Config& config, const HostFacts& facts, HostPlan& plan) {
  // Lets the reverse-path filter see the mark of what comes in from outside the tunnel.
  if (is_full_tunnel(config)) plan.emplace_back(SetSysctl{"net/ipv4/conf/all/src_valid_mark", "1"});
  if (!is_gateway(config)) return;
  // Undone in the opposite order: what comes along is put back last.
  const ForwardingFacts forwarding = facts.forwarding.value_or(ForwardingFacts());
  plan.insert(plan.end(), forwarding.ipv4.begin(), forwarding.ipv4.end());
  plan.emplace_back(SetSysctl{kForwardIpv4, "1"});
  if (!facts.has_ipv6) return;
  // A router does not listen to router advertisements, unless it is told to.
  std::set<std::string> listening(forwarding.listening.begin(), forwarding.listening.end());
  if (const std::string& outer = config.interface.masquerade; !outer.empty()) listening.insert(outer);
  for (const std::string& interface : listening)
    plan.emplace_back(SetSysctl{"net/ipv6/conf/" + interface + "/accept_ra", "2"});
  plan.insert(plan.end(), forwarding.ipv6.begin(), forwarding.ipv6.end());
  plan.emplace_back(SetSysctl{kForwardIpv6, "1"});
}

}  // namespace

std::string to_string(const HostChange& change) {
  return std::visit(
      Overloaded{
          [](const AddAddress& add) { return "address " + add.address.to_string(); },
          [](const AddRoute& add) {
            constexpr const char* kKinds[] = {"route ", "unreachable route ", "throw route "};
            return kKinds[static_cast<size_t>(add.kind)] + add.destination.to_string() + " in table " +
                   std::to_string(add.table) + (add.mtu == 0 ? "" : " mtu " + std::to_string(add.mtu)) +
                   (add.other_tunnel == 0 ? "" : " into interface " + std::to_string(add.other_tunnel));
          },
          [](const AddMarkRule& add) {
            return std::string(family_name(add.family)) + " rule " + (add.inverted ? "not " : "") +
                   "fwmark " + std::to_string(add.mark) + " table " + std::to_string(add.table);
          },
          [](const SetSysctl& set) {
            return "sysctl " + set.name + (set.along_with.empty() ? " = " + set.value : " put back");
          },
          [](const SetFirewall& set) { return "nftables table " + table_name(set.spec.interface); },
          [](const SetDns& set) {
            std::string text = "name servers";
            for (const IpAddress& server : set.servers) text += " " + server.to_string();
            return text;
          },
      },
      change);
}

bool ends_with_interface(const HostChange& change) noexcept {
  const auto* const route = std::get_if<AddRoute>(&change);
  return std::holds_alternative<AddAddress>(change) ||
         (route != nullptr && route->kind == RouteKind::kTunnel && route->other_tunnel == 0);
}

bool replaces(const HostChange& later, const HostChange& earlier) noexcept {
  if (later.index() != earlier.index()) return false;
  const auto* const route = std::get_if<AddRoute>(&later);
  const auto* const other = std::get_if<AddRoute>(&earlier);
  if (route != nullptr && other != nullptr) {
    return route->destination == other->destination && route->table == other->table &&
           route->kind == other->kind;
  }
  return std::holds_alternative<SetFirewall>(later) || std::holds_alternative<SetDns>(later);
}

Subject subject_of(const HostChange& change) noexcept {
  if (const auto* const route = std::get_if<AddRoute>(&change))
    return {change.index(), route->destination, route->table, route->kind};
  const auto* const add = std::get_if<AddAddress>(&change);
  return {change.index(), add == nullptr ? IpPrefix{} : add->address, 0, RouteKind::kTunnel};
}

HostPlan plan_host(const Config& config, const HostFacts& facts) {
  HostPlan plan;
  const bool wants_guard = config.interface.table.kind != RouteTable::Kind::kOff &&
                           !config.interface.addresses.empty() && facts.has_nftables;
  if (wants_guard || needs_firewall(config)) plan.emplace_back(SetFirewall{firewall_for(config, facts)});
  for (const IpPrefix& address : config.interface.addresses) plan.emplace_back(AddAddress{address});
  plan_sysctls(config, facts, plan);
  plan_routes(config, facts, plan);
  if (!config.interface.dns.empty() || !config.interface.dns_search.empty()) {
    // Whoever names a server wants it asked for all names, as with wg-quick, and not the LAN's beside it.
    const bool everything = !config.interface.dns.empty();
    plan.emplace_back(SetDns{config.interface.dns, config.interface.dns_search, everything});
  }
  return plan;
}

bool is_full_tunnel(const Config& config) {
  if (config.interface.table.kind != RouteTable::Kind::kAuto) return false;
  return has_default(config, IpFamily::kIpv4) || has_default(config, IpFamily::kIpv6);
}

bool is_gateway(const Config& config) {
  return config.interface.gateway || !config.interface.masquerade.empty();
}

bool needs_mark(const Config& config) {
  return is_full_tunnel(config) || config.interface.kill_switch;
}

bool needs_firewall(const Config& config) {
  return is_full_tunnel(config) || config.interface.kill_switch || is_gateway(config);
}

}  // namespace vpn::host
