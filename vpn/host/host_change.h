// HostChange: one thing that bringing an interface up changes on the host, as a value that can be compared,
// applied and undone. A plan is a list of them; what a new configuration changes is the difference between
// two plans.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "vpn/base/ip_address.h"
#include "vpn/config/config.h"
#include "vpn/host/firewall_rules.h"

namespace vpn::host {

inline constexpr uint32_t kMainTable = 254;
inline constexpr uint32_t kLastMetric = 1U << 31;  // of a route that every other one outranks
inline constexpr uint32_t kDefaultMark =
    51820;  // also the number of the full tunnel's table, as wg-quick has it

// An address of the tunnel interface. It goes away with the interface.
struct AddAddress {
  IpPrefix address;
  friend bool operator==(const AddAddress&, const AddAddress&) = default;
};

enum class RouteKind : uint8_t {
  kTunnel,       // into the tunnel; goes away with the interface
  kUnreachable,  // nowhere, where there is no other route to the same destination (kLastMetric)
  kThrow,        // let the following rules decide
};

struct AddRoute {
  IpPrefix destination;
  uint32_t table = kMainTable;
  RouteKind kind = RouteKind::kTunnel;
  uint32_t mtu = 0;           // of what goes there; 0: the interface's
  uint32_t other_tunnel = 0;  // the interface of another tunnel of ours that it goes into; 0: ours
  friend bool operator==(const AddRoute&, const AddRoute&) = default;
};

// Before `main` and everything else, packets without the mark (or, with `inverted` off, those with it) are
// looked up in `table`. Nothing that DHCP or a router puts into `main` can win against it (TunnelVision,
// CVE-2024-3661).
struct AddMarkRule {
  IpFamily family = IpFamily::kIpv4;
  uint32_t mark = 0;
  uint32_t table = 0;
  bool inverted = true;
  friend bool operator==(const AddMarkRule&, const AddMarkRule&) = default;
};

// A sysctl, below /proc/sys; its former value is what undoing writes.
struct SetSysctl {
  std::string name;  // "net/ipv4/conf/all/src_valid_mark"
  std::string value;
  // Not empty: it is not set, but put back, as the kernel changes it along with this one.
  std::string along_with = {};
  friend bool operator==(const SetSysctl&, const SetSysctl&) = default;
};

// What the kernel changes along with net/ipv4/ip_forward and net/ipv6/conf/all/forwarding (forwarding.h).
inline constexpr char kForwardIpv4[] = "net/ipv4/ip_forward";
inline constexpr char kForwardIpv6[] = "net/ipv6/conf/all/forwarding";
struct ForwardingFacts {
  std::vector<SetSysctl> ipv4, ipv6;   // to be put back
  std::vector<std::string> listening;  // interfaces that have their default route from an advertisement
};

struct SetFirewall {
  FirewallSpec spec;
  friend bool operator==(const SetFirewall&, const SetFirewall&) = default;
};

// Name resolution: the servers and search domains. `everything`: for all names, not only these domains. Where
// there is no server, the host's own stay.
struct SetDns {
  std::vector<IpAddress> servers;
  std::vector<std::string> search;
  bool everything = true;
  friend bool operator==(const SetDns&, const SetDns&) = default;
};

using HostChange = std::variant<AddAddress, AddRoute, AddMarkRule, SetSysctl, SetFirewall, SetDns>;
using HostPlan = std::vector<HostChange>;

// "route 10.0.0.0/8 in table 254"
[[nodiscard]] std::string to_string(const HostChange& change);
// Whether it goes away with the tunnel interface, so that a crash leaves nothing of it.
[[nodiscard]] bool ends_with_interface(const HostChange& change) noexcept;
// Whether the two are about one and the same thing (the firewall, name resolution, a route), so that one is
// replaced by the other with no moment between.
[[nodiscard]] bool replaces(const HostChange& later, const HostChange& earlier) noexcept;

// What a change is about. Equal changes, and two of which one replaces the other, are about the same.
using Subject = std::tuple<size_t, IpPrefix, uint32_t, RouteKind>;
[[nodiscard]] Subject subject_of(const HostChange& change) noexcept;

// A network that another tunnel of ours, a split one, has in the main table.
struct OtherTunnel {
  IpPrefix network;
  uint32_t interface = 0;
  std::string name;
  friend bool operator==(const OtherTunnel&, const OtherTunnel&) = default;
};

// What a plan needs to know besides the configuration.
struct HostFacts {
  std::string interface;
  uint32_t mark = 0;
  uint16_t listen_port = 0;
  std::vector<UdpAddress> endpoints;  // of the peers, as they are now
  // From outside, when the tunnel became a full one.
  std::optional<std::vector<TcpSession>> sessions = {};
  bool has_nftables = true;
  bool has_ipv6 = true;
  std::string cgroup_folder;
  std::map<std::string, uint64_t> cgroup_ids = {};  // of the configuration's that are there
  std::optional<ForwardingFacts> forwarding = {};   // when this host became a gateway
  std::vector<OtherTunnel> other_tunnels = {};      // beside a full one
  std::set<IpAddress> shared_addresses = {};        // of the tunnel's, that other interfaces have too
  std::map<PublicKey, uint16_t> path_mtus;  // of peers to which less than the tunnel's MTU gets through
};

// For this configuration: the firewall first, then addresses, and for every allowed-IP a route where `Table`
// says; name resolution last. A prefix of length 0 with `Table = auto` makes a full tunnel: a table numbered
// `mark`, and rules by which only packets with that mark avoid it. A full tunnel of IPv4 alone shuts IPv6.
// What the table has no route for goes nowhere, so that nothing falls through to `main` when the interface,
// and its routes with it, is taken down or dies with the daemon. What other tunnels of ours are for is left
// to them.
// Prefixes that an address's own network covers need no route.
[[nodiscard]] HostPlan plan_host(const config::Config& config, const HostFacts& facts);
// Whether the configuration makes a full tunnel.
[[nodiscard]] bool is_full_tunnel(const config::Config& config);
// Whether this host forwards for its peers.
[[nodiscard]] bool is_gateway(const config::Config& config);
// Whether plan_host needs a mark that the sockets must carry.
[[nodiscard]] bool needs_mark(const config::Config& config);
// Whether the configuration cannot do without nftables.
[[nodiscard]] bool needs_firewall(const config::Config& config);

}  // namespace vpn::host
