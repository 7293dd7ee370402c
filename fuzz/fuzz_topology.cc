// The topology file: any text is read without a crash. A topology without problems is resolved: every name it
// uses exists, every name is valid and given once, every address it was to assign is there and belongs to one
// interface; its weather can be written and read again. Every problem is said in words.
#include <algorithm>
#include <set>
#include <string>

#include "fuzz/input.h"
#include "lab/topology/topology.h"
#include "vpn/base/check.h"

namespace lab {
namespace {

void check_weather(const Weather& weather) {
  Impairment again;
  VPN_CHECK(set_impairments(again, to_string(weather.initial)).has_value());
  Impairment later = weather.initial;
  for (const ScheduledChange& change : weather.schedule) {
    VPN_CHECK(change.at.count() >= 0 && set_impairments(later, change.change).has_value());
  }
}

void check_end(const Topology& topology, const LinkEnd& end, std::set<vpn::IpAddress>& addresses) {
  const bool host = topology.find_host(end.node) != nullptr;
  VPN_CHECK(host || topology.find_switch(end.node) != nullptr);
  VPN_CHECK(!end.interface.empty() && end.interface.size() <= kLongestInterfaceName);
  VPN_CHECK(host || end.addresses.empty());
  for (const IpPrefix& prefix : end.addresses) VPN_CHECK(addresses.insert(prefix.address).second);
}

void check_resolved(const Topology& topology) {
  std::set<std::string> names;
  for (const Host& host : topology.hosts)
    VPN_CHECK(is_valid_name(host.name, kLongestName) && names.insert(host.name).second);
  for (const Switch& node : topology.switches)
    VPN_CHECK(is_valid_name(node.name, kLongestName) && names.insert(node.name).second);
  std::set<vpn::IpAddress> addresses;
  for (const Link& link : topology.links) {
    VPN_CHECK(topology.find_link(link.name) == &link);
    for (const LinkEnd& end : link.ends) check_end(topology, end, addresses);
    for (const Weather& weather : link.weather) check_weather(weather);
  }
  for (const Service& service : topology.services) VPN_CHECK(topology.find_host(service.host) != nullptr);
  for (const Tunnel& tunnel : topology.tunnels) {
    for (const TunnelMember& member : tunnel.members) {
      VPN_CHECK(topology.find_host(member.host) != nullptr);
      for (const TunnelPeer& peer : member.peers) VPN_CHECK(topology.find_host(peer.host) != nullptr);
    }
  }
}

}  // namespace
}  // namespace lab

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const lab::ParsedTopology parsed = lab::parse_topology(text, "fuzz.toml");
  if (parsed.problems.empty()) lab::check_resolved(parsed.topology);
  for (const lab::Error& problem : parsed.problems) {
    VPN_CHECK(!problem.to_string().empty());
  }
  return 0;
}
