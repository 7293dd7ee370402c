// HostChange: one thing that bringing an interface up changes on the host, as a value that can be compared,
// applied and undone. A plan is a list of them; what a new configuration changes is the difference between
// two plans.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "vpn/base/ip_address.h"
#include "vpn/config/config.h"

namespace vpn::host {

inline constexpr uint32_t kMainTable = 254;
inline constexpr uint32_t kDefaultMark =
    51820;  // also the number of the full tunnel's table, as wg-quick has it

// An address of the tunnel interface. It goes away with the interface.
struct AddAddress {
  IpPrefix address;
  friend bool operator==(const AddAddress&, const AddAddress&) = default;
};

// A route into the tunnel interface. It goes away with the interface.
struct AddRoute {
  IpPrefix destination;
  uint32_t table = kMainTable;
  friend bool operator==(const AddRoute&, const AddRoute&) = default;
};

// Packets without the mark are looked up in `table`: everything but our own encrypted packets.
struct AddMarkRule {
  IpFamily family = IpFamily::kIpv4;
  uint32_t mark = 0;
  uint32_t table = 0;
  friend bool operator==(const AddMarkRule&, const AddMarkRule&) = default;
};

// `main` still decides first, its default routes apart: what is on-link or routed specifically stays
// reachable.
struct AddSuppressRule {
  IpFamily family = IpFamily::kIpv4;
  friend bool operator==(const AddSuppressRule&, const AddSuppressRule&) = default;
};

// A sysctl, below /proc/sys; its former value is what undoing writes.
struct SetSysctl {
  std::string name;  // "net/ipv4/conf/all/src_valid_mark"
  std::string value;
  friend bool operator==(const SetSysctl&, const SetSysctl&) = default;
};

using HostChange = std::variant<AddAddress, AddRoute, AddMarkRule, AddSuppressRule, SetSysctl>;
using HostPlan = std::vector<HostChange>;

// "route 10.0.0.0/8 in table 254"
[[nodiscard]] std::string to_string(const HostChange& change);

// What wg-quick would do for this configuration: its addresses, and for every allowed-IP a route where
// `Table` says. A prefix of length 0 with `Table = auto` makes a full tunnel: a table numbered `mark`, and
// rules by which only packets with that mark avoid it. Prefixes that an address's own network covers need no
// route.
[[nodiscard]] HostPlan plan_host(const config::Config& config, uint32_t mark);
// Whether plan_host needs a mark that the sockets must carry.
[[nodiscard]] bool needs_mark(const config::Config& config);

}  // namespace vpn::host
