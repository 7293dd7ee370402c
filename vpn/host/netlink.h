// Netlink: links, addresses, routes and rules of the network namespace it was opened in, by libnl.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/ip_address.h"
#include "vpn/base/result.h"
#include "vpn/host/host_change.h"

struct nl_sock;
struct nl_msg;

namespace vpn::host {

// Of our rules: after `local`, before everything that others usually add.
inline constexpr uint32_t kRulePriority = 5180;

// Nothing, or why not. EEXIST on adding and ESRCH and their like on removing are successes: the state is as
// asked.
using Done = Result<bool, Error>;  // the value: whether anything was changed

// Which way packets to an address leave this host.
struct Route {
  uint32_t interface = 0;
  std::optional<IpAddress> gateway;  // none: it is on the link
  std::optional<IpAddress> source;   // the kernel's choice
  uint32_t mtu = 0;                  // of the route, or, where it says none, of the interface
  friend bool operator==(const Route&, const Route&) = default;
};

// What becomes of a route to the same destination in the same table that is there already.
enum class Existing : uint8_t {
  kRefuses,
  kIsReplaced,  // in one step
  kStays,       // and nothing is changed
};

class Netlink {
 public:
  // An error where the kernel has no rtnetlink. Reading needs no right, changing CAP_NET_ADMIN.
  [[nodiscard]] static Result<Netlink, Error> open();

  // Links, by their index: in bytes; administratively up.
  [[nodiscard]] Done set_mtu(unsigned interface, uint16_t mtu);
  [[nodiscard]] Done set_up(unsigned interface);
  [[nodiscard]] Result<uint32_t, Error> mtu_of(unsigned interface);
  [[nodiscard]] Result<bool, Error> is_up(unsigned interface);

  // An address with its network, to which the kernel adds the route; and both off again.
  [[nodiscard]] Done add_address(unsigned interface, const IpPrefix& address);
  [[nodiscard]] Done remove_address(unsigned interface, const IpPrefix& address);
  // All addresses of the other interfaces.
  [[nodiscard]] std::set<IpAddress> addresses_of_others(unsigned own_interface);
  // A route into the interface; or, by another kind, one of no interface.
  [[nodiscard]] Done add_route(unsigned interface, const AddRoute& route, Existing existing);
  [[nodiscard]] Done remove_route(unsigned interface, const AddRoute& route);

  // `[not] fwmark MARK table TABLE`, at kRulePriority.
  [[nodiscard]] Done add_mark_rule(const AddMarkRule& rule);
  [[nodiscard]] Done remove_mark_rule(const AddMarkRule& rule);
  // Whether a rule of this family has our priority: some full tunnel is up.
  [[nodiscard]] bool has_rule_of_ours(IpFamily family);
  // Whether a table has a route to exactly this destination that ours would meet.
  [[nodiscard]] bool has_route(const IpPrefix& destination, uint32_t table);
  // The names of the interfaces that have an IPv6 default route by a router advertisement.
  [[nodiscard]] std::set<std::string> interfaces_with_advertised_default();
  struct TunnelRoute {
    IpPrefix destination;
    uint32_t interface = 0;
  };
  // The routes of the main table into other interfaces without a link layer, as those of tunnels are.
  [[nodiscard]] std::vector<TunnelRoute> routes_into_other_tunnels(unsigned own_interface);
  // Where the routes of the main table into other interfaces lead to; default routes are not among them.
  [[nodiscard]] std::vector<IpPrefix> destinations_of_others(unsigned own_interface);
  // Whether a table has any route of either family.
  [[nodiscard]] bool has_routes(uint32_t table);

  // The way to an address for packets with this mark; empty when there is none.
  [[nodiscard]] std::optional<Route> route_to(const IpAddress& to, uint32_t mark);

 private:
  struct CloseSocket {
    void operator()(nl_sock* socket) const noexcept;
  };
  explicit Netlink(nl_sock* socket) : socket_(socket) {}
  [[nodiscard]] std::vector<TunnelRoute> main_routes();
  // Sends a request and waits for its acknowledgement; takes the message. 0, or a negative libnl error.
  int request(nl_msg* message);
  // Asks for all of a kind, and hands each to `on_message`.
  template <typename Header>
  int dump(int type, Header header, int (*on_message)(nl_msg*, void*), void* out);

  std::unique_ptr<nl_sock, CloseSocket> socket_;
};

}  // namespace vpn::host
