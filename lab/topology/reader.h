// TopologyReader: turns the sections of a topology file into a resolved Topology, one kind of section after
// the other, and gathers every problem on the way. Used by parse_topology() alone.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lab/topology/section.h"
#include "lab/topology/topology.h"

namespace lab {

class TopologyReader {
 public:
  TopologyReader(Reading& reading, Topology& topology) : reading_(reading), topology_(topology) {}

  // Reads the whole document; what is wrong with it is reported to `reading`.
  void read(const toml::table& root);

 private:
  // A link as written: its ends and subnets, before addresses are assigned.
  struct LinkPlan {
    size_t link;  // in topology_.links
    std::vector<IpPrefix> subnets;
  };

  void read_hosts(std::vector<Section> sections);
  void read_switches(std::vector<Section> sections);
  void read_links(std::vector<Section> sections);
  void read_weather(Section& section, const std::array<std::string, 2>& ends,
                    std::array<Weather, 2>& weather);
  void read_schedule(Section& section, const std::array<std::string, 2>& ends,
                     std::array<Weather, 2>& weather);
  void add_link(Section& section, Link link, const std::vector<IpPrefix>& subnets);
  void read_routes(std::vector<Section> sections);
  void read_nats(std::vector<Section> sections);
  void read_services(std::vector<Section> sections);
  void read_tunnels(std::vector<Section> sections);
  void read_member_kinds(Section& section, Tunnel& tunnel);
  void read_tunnel_kind(Section& section, Tunnel& tunnel);
  void give_tunnel_addresses(Section& section, Tunnel& tunnel, const std::vector<IpPrefix>& subnets);
  void connect_tunnel(Section& section, Tunnel& tunnel, const std::vector<IpPrefix>& subnets);
  void assign_addresses();

  // The hosts a name or a pattern ("client*") stands for; reports where there are none.
  std::vector<std::string> expand_hosts(Section& section, std::string_view key, const std::string& pattern);
  std::vector<IpPrefix> read_prefixes(Section& section, std::string_view key);
  void add_route(Section& section, Host& host, const std::string& text);
  bool is_name_free(Section& section, const std::string& name, std::string_view kind, size_t longest);
  [[nodiscard]] bool is_host_interface(const std::string& host, const std::string& interface) const;
  // All that has an address in the host: (interface, addresses).
  [[nodiscard]] std::vector<std::pair<std::string, const std::vector<IpPrefix>*>> addresses_of(
      const std::string& host) const;
  // An address of `host` that `from` reaches on a link or tunnel they share; else the first one the host has.
  [[nodiscard]] std::optional<IpAddress> reachable_address(const std::string& from, const std::string& host,
                                                           vpn::IpFamily family, bool on_link_only) const;
  void check_addresses();

  Reading& reading_;
  Topology& topology_;
  std::vector<LinkPlan> plans_;
};

}  // namespace lab
