// FirewallSpec → the text of one nftables table: the kill switch, the gateway, and what keeps a full tunnel's
// host reachable and safe. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "vpn/base/ip_address.h"
#include "vpn/config/config.h"

namespace vpn::host {

// A TCP connection as this host sees it.
struct TcpSession {
  IpAddress local;
  uint16_t local_port = 0;
  IpAddress remote;
  uint16_t remote_port = 0;
  friend auto operator<=>(const TcpSession&, const TcpSession&) = default;
};

struct FirewallSpec {
  std::string interface;
  std::vector<IpAddress> own_addresses;  // the tunnel's alone
  uint32_t mark = 0;                     // of the encrypted packets; 0: they carry none
  uint16_t listen_port = 0;
  bool answers_anyone = false;  // a peer has no endpoint of its own, and is answered where it calls from

  bool full_tunnel = false;          // routes everything but what carries `mark`
  std::vector<TcpSession> sessions;  // from outside, which keep the way they have
  std::string cgroup_folder;         // of the cgroup2 hierarchy below /sys/fs/cgroup: "" or "unified/"
  std::vector<std::string> tunnel_cgroups, bypass_cgroups;
  std::map<std::string, uint64_t> cgroup_ids;  // of those that are there; of others there is no rule

  bool kill_switch = false;
  std::vector<UdpAddress> endpoints;    // where encrypted packets may go
  std::vector<IpAddress> dns;           // the only name servers, when there are any
  std::set<std::string> other_tunnels;  // of ours, whose encrypted packets come by here once more
  std::vector<IpPrefix> allow_lan;

  bool gateway = false;
  std::string masquerade;  // the outer interface; empty: every one but the tunnel
  bool client_to_client = true;

  friend bool operator==(const FirewallSpec&, const FirewallSpec&) = default;
};

// The mark of what TunnelCgroup sends through the tunnel.
[[nodiscard]] constexpr uint32_t tunnel_mark(uint32_t mark) noexcept {
  return mark + 1;
}

// The name of an interface's tables: "vpn_" and the name, every byte but letters and digits as _XX.
[[nodiscard]] std::string table_name(const std::string& interface);
// Commands for `nft -f` that make the tables what `spec` says, whatever they were before, in one transaction.
[[nodiscard]] std::string firewall_commands(const FirewallSpec& spec);
// Commands that leave no table of this interface, whether there were any or not.
[[nodiscard]] std::string no_firewall_commands(const std::string& interface);

}  // namespace vpn::host
