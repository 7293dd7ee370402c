// The part of TopologyReader that reads [[tunnel]]: who is in it, who knows whom, and by which endpoint.
#include <fmt/format.h>

#include <algorithm>

#include "lab/topology/addresses.h"
#include "lab/topology/reader.h"

namespace lab {
namespace {

TunnelMember* find_member(Tunnel& tunnel, const std::string& host) {
  const auto found = std::find_if(tunnel.members.begin(), tunnel.members.end(),
                                  [&](const TunnelMember& one) { return one.host == host; });
  return found == tunnel.members.end() ? nullptr : &*found;
}

constexpr char kDaemonKinds[] =
    "use vpn, wireguard-go, kernel, a command line with {interface}, or command with a command";

// What has a blank is a command line itself.
bool is_daemon_kind(const std::string& kind) {
  return kind.find(' ') != std::string::npos || kind == "command" || kind == "vpn" ||
         kind == "wireguard-go" || kind == "kernel";
}

IpPrefix whole(const IpAddress& address) {
  return {address, static_cast<uint8_t>(address.bit_count())};
}

}  // namespace

void TopologyReader::read_tunnels(std::vector<Section> sections) {
  for (Section& section : sections) {
    Tunnel tunnel;
    tunnel.line = section.line();
    tunnel.name = section.required_text("name", "wg0");
    tunnel.interface = section.text("interface").value_or(tunnel.name);
    read_tunnel_kind(section, tunnel);
    tunnel.mtu_bytes = static_cast<unsigned>(section.number("mtu", 576, 65455).value_or(1420));
    tunnel.keepalive_seconds = static_cast<uint16_t>(section.number("keepalive", 0, 65535).value_or(0));
    tunnel.preshared_key = section.flag("preshared_key", false);
    const auto subnets = read_prefixes(section, "subnet");

    const auto hub = section.text("hub");
    std::vector<std::string> patterns = section.list(hub ? "spokes" : "mesh");
    if (hub) patterns.insert(patterns.begin(), *hub);
    if (patterns.size() < 2 && (patterns.empty() || patterns[0].back() != '*')) {
      section.report("mesh", "a tunnel needs two hosts or more",
                     "write mesh = [\"left\", \"right\"], or hub = \"server\" and spokes = [\"client*\"]");
    }
    const auto port = static_cast<uint16_t>(section.number("port", 1, 65535).value_or(51820));
    for (const std::string& pattern : patterns) {
      for (const std::string& host : expand_hosts(section, hub ? "spokes" : "mesh", pattern)) {
        if (find_member(tunnel, host) != nullptr || is_host_interface(host, tunnel.interface)) {
          section.report("name",
                         fmt::format("host '{}' has an interface '{}' already", host, tunnel.interface),
                         "give the tunnel another interface = \"wg1\", and name each host once");
          continue;
        }
        tunnel.members.push_back({host, {}, port, tunnel.kind, {}, {}});
      }
    }
    if (!is_valid_name(tunnel.interface, kLongestInterfaceName)) {
      section.report("interface", fmt::format("'{}' is no name for an interface", tunnel.interface),
                     "use letters, digits, '-' and '_', at most 15 of them");
    }
    give_tunnel_addresses(section, tunnel, subnets);
    connect_tunnel(section, tunnel, subnets);
    read_member_kinds(section, tunnel);
    section.finish();
    topology_.tunnels.push_back(std::move(tunnel));
  }
}

void TopologyReader::read_tunnel_kind(Section& section, Tunnel& tunnel) {
  tunnel.kind = section.required_text("kind", "vpn");
  tunnel.command = section.list("command");
  if (tunnel.kind == "command" && tunnel.command.empty()) {
    section.report("command", "this tunnel has no command", "add command = [\"program\", \"{interface}\"]");
  }
  if (!is_daemon_kind(tunnel.kind)) {
    section.report("kind", fmt::format("'{}' is no kind of VPN daemon", tunnel.kind), kDaemonKinds);
  }
}

// kind_of = { right = "kernel" }: members whose daemon is another than the tunnel's.
void TopologyReader::read_member_kinds(Section& section, Tunnel& tunnel) {
  auto kinds = section.child("kind_of");
  if (!kinds) return;
  for (const std::string& host : kinds->keys()) {
    TunnelMember* const member = find_member(tunnel, host);
    if (member == nullptr) {
      kinds->report(host, fmt::format("'{}' is no member of tunnel '{}'", host, tunnel.name),
                    "name a member of it");
      continue;
    }
    member->kind = kinds->required_text(host, "kernel");
    if (!is_daemon_kind(member->kind) || (member->kind == "command" && tunnel.command.empty())) {
      kinds->report(host, fmt::format("'{}' is no kind of VPN daemon", member->kind), kDaemonKinds);
    }
  }
}

void TopologyReader::give_tunnel_addresses(Section& section, Tunnel& tunnel,
                                           const std::vector<IpPrefix>& subnets) {
  if (subnets.empty()) section.report("subnet", "this tunnel has no subnet", "add subnet = \"10.77.0.0/24\"");
  auto given = section.child("address");
  uint32_t number = 0;
  for (TunnelMember& member : tunnel.members) {
    ++number;
    if (given && given->has(member.host)) {
      member.addresses = read_prefixes(*given, member.host);
      continue;
    }
    for (const IpPrefix& subnet : subnets) {
      if (const auto address = host_address(subnet, number)) {
        member.addresses.push_back(*address);
      } else {
        section.report("subnet",
                       fmt::format("subnet {} has no address left for '{}'", subnet.to_string(), member.host),
                       "use a shorter prefix");
      }
    }
  }
}

void TopologyReader::connect_tunnel(Section& section, Tunnel& tunnel, const std::vector<IpPrefix>& subnets) {
  const bool has_hub = section.has("hub");
  auto endpoints = section.child("endpoint");
  auto allowed = section.child("allowed");
  for (auto* table : {&endpoints, &allowed}) {
    if (!*table) continue;
    for (const std::string& host : (*table)->keys()) {
      if (find_member(tunnel, host) == nullptr) {
        (*table)->report(host, fmt::format("'{}' is no member of tunnel '{}'", host, tunnel.name),
                         "name a member");
      }
    }
  }
  for (TunnelMember& self : tunnel.members) {
    for (const TunnelMember& other : tunnel.members) {
      if (&self == &other) continue;
      const bool self_is_hub = has_hub && &self == &tunnel.members.front();
      const bool other_is_hub = has_hub && &other == &tunnel.members.front();
      if (has_hub && !self_is_hub && !other_is_hub) continue;

      TunnelPeer peer;
      peer.host = other.host;
      std::string endpoint = self_is_hub ? "none" : "auto";
      if (endpoints) endpoint = endpoints->text(other.host).value_or(endpoint);
      if (endpoint == "auto") {
        auto address = reachable_address(self.host, other.host, vpn::IpFamily::kIpv4, false);
        if (!address) address = reachable_address(self.host, other.host, vpn::IpFamily::kIpv6, false);
        if (address) peer.endpoint = vpn::UdpAddress{*address, other.port, 0};
      } else if (endpoint != "none") {
        peer.endpoint = vpn::UdpAddress::parse(endpoint);
        if (!peer.endpoint) {
          endpoints->report(other.host, fmt::format("'{}' is no endpoint", endpoint),
                            "write it as 192.0.2.1:51820, or \"auto\", or \"none\"");
        }
      }
      // To a spoke the hub stands for the whole subnet.
      if (other_is_hub) {
        for (const IpPrefix& subnet : subnets) peer.allowed.push_back(subnet.normalized());
      } else {
        for (const IpPrefix& address : other.addresses) peer.allowed.push_back(whole(address.address));
      }
      if (allowed && allowed->has(other.host)) {
        for (const IpPrefix& more : read_prefixes(*allowed, other.host)) {
          peer.allowed.push_back(more.normalized());
          // A default route would swallow the tunnel's own packets: that one is the daemon's business.
          if (more.length > 0) self.routes.push_back(more.normalized());
        }
      }
      self.peers.push_back(std::move(peer));
    }
  }
}

}  // namespace lab
