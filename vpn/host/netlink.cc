#include "vpn/host/netlink.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

#include <map>
#include <span>

#include "vpn/host/netlink_message.h"

namespace vpn::host {
namespace {

template <auto Put>
struct Releaser {
  template <typename T>
  void operator()(T* object) const noexcept {
    Put(object);
  }
};
using LinkPtr = std::unique_ptr<rtnl_link, Releaser<rtnl_link_put>>;
using AddressPtr = std::unique_ptr<rtnl_addr, Releaser<rtnl_addr_put>>;
using RoutePtr = std::unique_ptr<rtnl_route, Releaser<rtnl_route_put>>;
using BytesPtr = std::unique_ptr<nl_addr, Releaser<nl_addr_put>>;
using CachePtr = std::unique_ptr<nl_cache, Releaser<nl_cache_free>>;

int family_of(IpFamily family) {
  return family == IpFamily::kIpv4 ? AF_INET : AF_INET6;
}

BytesPtr to_nl(const IpPrefix& prefix) {
  const BytesView bytes = prefix.address.bytes();
  BytesPtr address(nl_addr_build(family_of(prefix.address.family()), bytes.data(), bytes.size()));
  nl_addr_set_prefixlen(address.get(), prefix.length);
  return address;
}

// Empty: of another family.
std::optional<IpAddress> to_address(const nl_addr* address) {
  if (address == nullptr) return std::nullopt;
  const auto* const bytes = static_cast<const uint8_t*>(nl_addr_get_binary_addr(address));
  const size_t length = nl_addr_get_len(address);
  if (length == 4) return IpAddress::ipv4(std::span<const uint8_t, 4>(bytes, 4));
  if (length == 16) return IpAddress::ipv6(std::span<const uint8_t, 16>(bytes, 16));
  return std::nullopt;
}

Done done(int result, const std::string& what, int harmless) {
  if (result >= 0) return true;
  if (result == -harmless ||
      (harmless == NLE_OBJ_NOTFOUND && (result == -NLE_NODEV || result == -NLE_NOADDR)))
    return false;
  std::string remedy = "see 'ip monitor' and the kernel's log";
  if (result == -NLE_PERM) remedy = "run as root, or with CAP_NET_ADMIN";
  if (result == -NLE_OPNOTSUPP || result == -NLE_AF_NOSUPPORT) remedy = "this kernel does not have it";
  return fail(Error{"", 0, "", what + ": " + nl_geterror(result), std::move(remedy)});
}

LinkPtr link_of(unsigned interface) {
  LinkPtr link(rtnl_link_alloc());
  rtnl_link_set_ifindex(link.get(), static_cast<int>(interface));
  return link;
}

AddressPtr address_of(unsigned interface, const IpPrefix& prefix) {
  AddressPtr address(rtnl_addr_alloc());
  rtnl_addr_set_ifindex(address.get(), static_cast<int>(interface));
  rtnl_addr_set_local(address.get(), to_nl(prefix).get());
  return address;
}

uint8_t route_type(RouteKind kind) {
  switch (kind) {
    case RouteKind::kTunnel:
      return RTN_UNICAST;
    case RouteKind::kUnreachable:
      return RTN_UNREACHABLE;
    case RouteKind::kThrow:
      return RTN_THROW;
  }
  return RTN_UNSPEC;
}

RoutePtr route_of(unsigned interface, const AddRoute& add) {
  RoutePtr route(rtnl_route_alloc());
  const bool is_tunnel = add.kind == RouteKind::kTunnel;
  rtnl_route_set_family(route.get(), static_cast<uint8_t>(family_of(add.destination.address.family())));
  rtnl_route_set_dst(route.get(), to_nl(add.destination).get());
  rtnl_route_set_table(route.get(), add.table);
  rtnl_route_set_protocol(route.get(), RTPROT_BOOT);
  rtnl_route_set_type(route.get(), route_type(add.kind));
  const bool is_link = is_tunnel && add.destination.address.is_ipv4();
  rtnl_route_set_scope(route.get(), is_link ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
  if (add.kind == RouteKind::kUnreachable) rtnl_route_set_priority(route.get(), kLastMetric);
  if (add.mtu != 0) rtnl_route_set_metric(route.get(), RTAX_MTU, add.mtu);
  if (is_tunnel) {
    rtnl_nexthop* const hop = rtnl_route_nh_alloc();
    rtnl_route_nh_set_ifindex(hop, static_cast<int>(add.other_tunnel != 0 ? add.other_tunnel : interface));
    rtnl_route_add_nexthop(route.get(), hop);  // takes it
  }
  return route;
}

// libnl 3.7 does not know inverted rules, so the message is made here.
nl_msg* rule_message(const AddMarkRule& rule, int type, int flags) {
  nl_msg* const message = nlmsg_alloc_simple(type, flags);
  fib_rule_hdr header{};
  header.family = static_cast<uint8_t>(family_of(rule.family));
  header.action = FR_ACT_TO_TBL;
  header.table = RT_TABLE_UNSPEC;
  if (rule.inverted) header.flags = FIB_RULE_INVERT;
  nlmsg_append(message, &header, sizeof header, NLMSG_ALIGNTO);
  nla_put_u32(message, FRA_TABLE, rule.table);
  nla_put_u32(message, FRA_PRIORITY, kRulePriority);
  nla_put_u32(message, FRA_FWMARK, rule.mark);
  return message;
}

constexpr int kNewRule = NLM_F_CREATE | NLM_F_EXCL;

int look_for_priority(nl_msg* message, void* out) {
  if (read_rule_priority(bytes_of(message)) == kRulePriority) *static_cast<bool*>(out) = true;
  return NL_OK;
}

struct RouteQuestion {
  IpPrefix destination;
  uint32_t table = 0;
  bool found = false;
};

int look_for_route(nl_msg* message, void* out) {
  auto& question = *static_cast<RouteQuestion*>(out);
  const auto route = read_route(bytes_of(message));
  if (route && route->metric != kLastMetric && leads_to(*route, question.destination, question.table))
    question.found = true;
  return NL_OK;
}

struct TableQuestion {
  uint32_t table = 0;
  bool found = false;
};

int look_for_table(nl_msg* message, void* out) {
  auto& question = *static_cast<TableQuestion*>(out);
  const auto route = read_route(bytes_of(message));
  if (route && route->table == question.table) question.found = true;
  return NL_OK;
}

int look_for_advertised_default(nl_msg* message, void* out) {
  const auto route = read_route(bytes_of(message));
  if (!route || route->destination_bits != 0 || route->interface == 0) return NL_OK;
  const auto* const fixed = static_cast<const rtmsg*>(nlmsg_data(nlmsg_hdr(message)));
  char name[IF_NAMESIZE];
  if (fixed->rtm_protocol == RTPROT_RA && if_indextoname(route->interface, name) != nullptr)
    static_cast<std::set<std::string>*>(out)->insert(name);
  return NL_OK;
}

int take_main_route(nl_msg* message, void* out) {
  const auto route = read_route(bytes_of(message));
  if (!route || route->table != kMainTable || route->interface == 0 || !route->destination) return NL_OK;
  static_cast<std::vector<Netlink::TunnelRoute>*>(out)->push_back(
      {{*route->destination, route->destination_bits}, route->interface});
  return NL_OK;
}

int read_route_answer(nl_msg* message, void* out) {
  const auto route = read_route(bytes_of(message));
  if (!route) return NL_SKIP;
  *static_cast<Route*>(out) = {route->interface, route->gateway, route->source, route->mtu};
  return NL_OK;
}

}  // namespace

void Netlink::CloseSocket::operator()(nl_sock* socket) const noexcept {
  nl_socket_free(socket);
}

Result<Netlink, Error> Netlink::open() {
  Netlink netlink(nl_socket_alloc());
  const int result = nl_connect(netlink.socket_.get(), NETLINK_ROUTE);
  if (result < 0)
    return fail(Error{"netlink", 0, "", nl_geterror(result), "the kernel must have CONFIG_NET"});
  return netlink;
}

int Netlink::request(nl_msg* message) {
  const int sent = nl_send_auto(socket_.get(), message);
  nlmsg_free(message);
  return sent < 0 ? sent : nl_wait_for_ack(socket_.get());
}

Done Netlink::set_mtu(unsigned interface, uint16_t mtu) {
  const LinkPtr link = link_of(interface);
  const LinkPtr change = link_of(interface);
  rtnl_link_set_mtu(change.get(), mtu);
  return done(rtnl_link_change(socket_.get(), link.get(), change.get(), 0), "set MTU " + std::to_string(mtu),
              0);
}

Done Netlink::set_up(unsigned interface) {
  const LinkPtr link = link_of(interface);
  const LinkPtr change = link_of(interface);
  rtnl_link_set_flags(change.get(), IFF_UP);
  return done(rtnl_link_change(socket_.get(), link.get(), change.get(), 0), "bring the interface up", 0);
}

Result<uint32_t, Error> Netlink::mtu_of(unsigned interface) {
  rtnl_link* found = nullptr;
  const int result = rtnl_link_get_kernel(socket_.get(), static_cast<int>(interface), nullptr, &found);
  if (result < 0) return fail(Error{"", 0, "", std::string("read the MTU: ") + nl_geterror(result), ""});
  const LinkPtr link(found);
  return rtnl_link_get_mtu(link.get());
}

Result<bool, Error> Netlink::is_up(unsigned interface) {
  rtnl_link* found = nullptr;
  const int result = rtnl_link_get_kernel(socket_.get(), static_cast<int>(interface), nullptr, &found);
  if (result < 0) return fail(Error{"", 0, "", std::string("read the state: ") + nl_geterror(result), ""});
  const LinkPtr link(found);
  return (rtnl_link_get_flags(link.get()) & IFF_UP) != 0;
}

Done Netlink::add_address(unsigned interface, const IpPrefix& address) {
  const AddressPtr object = address_of(interface, address);
  return done(rtnl_addr_add(socket_.get(), object.get(), NLM_F_EXCL), "add address " + address.to_string(),
              NLE_EXIST);
}

Done Netlink::remove_address(unsigned interface, const IpPrefix& address) {
  const AddressPtr object = address_of(interface, address);
  return done(rtnl_addr_delete(socket_.get(), object.get(), 0), "remove address " + address.to_string(),
              NLE_OBJ_NOTFOUND);
}

std::set<IpAddress> Netlink::addresses_of_others(unsigned own_interface) {
  std::set<IpAddress> addresses;
  nl_cache* found = nullptr;
  if (rtnl_addr_alloc_cache(socket_.get(), &found) < 0) return addresses;
  const CachePtr all(found);
  for (nl_object* one = nl_cache_get_first(all.get()); one != nullptr; one = nl_cache_get_next(one)) {
    auto* const address = reinterpret_cast<rtnl_addr*>(one);  // as libnl has it: what such a cache holds
    if (static_cast<unsigned>(rtnl_addr_get_ifindex(address)) == own_interface) continue;
    if (const auto local = to_address(rtnl_addr_get_local(address))) addresses.insert(*local);
  }
  return addresses;
}

Done Netlink::add_route(unsigned interface, const AddRoute& route, Existing existing) {
  const int flags = existing == Existing::kIsReplaced ? NLM_F_REPLACE : NLM_F_EXCL;
  const int result = rtnl_route_add(socket_.get(), route_of(interface, route).get(), flags);
  const std::string what = "add " + to_string(route);
  if (result == -NLE_EXIST && existing == Existing::kStays) return false;
  if (result == -NLE_EXIST) {
    return fail(Error{"", 0, "", what + ": the table has one already",
                      "take the prefix out of AllowedIPs, or choose another Table"});
  }
  return done(result, what, 0);
}

Done Netlink::remove_route(unsigned interface, const AddRoute& route) {
  const int result = rtnl_route_delete(socket_.get(), route_of(interface, route).get(), 0);
  return done(result == -NLE_RANGE ? -NLE_OBJ_NOTFOUND : result, "remove " + to_string(route),
              NLE_OBJ_NOTFOUND);
}

Done Netlink::add_mark_rule(const AddMarkRule& rule) {
  return done(request(rule_message(rule, RTM_NEWRULE, kNewRule)), "add " + to_string(rule), NLE_EXIST);
}

Done Netlink::remove_mark_rule(const AddMarkRule& rule) {
  return done(request(rule_message(rule, RTM_DELRULE, 0)), "remove " + to_string(rule), NLE_OBJ_NOTFOUND);
}

template <typename Header>
int Netlink::dump(int type, Header header, int (*on_message)(nl_msg*, void*), void* out) {
  nl_msg* const message = nlmsg_alloc_simple(type, NLM_F_DUMP);
  nlmsg_append(message, &header, sizeof header, NLMSG_ALIGNTO);
  nl_cb* const callbacks = nl_cb_alloc(NL_CB_DEFAULT);
  nl_cb_set(callbacks, NL_CB_VALID, NL_CB_CUSTOM, on_message, out);
  int result = nl_send_auto(socket_.get(), message);
  nlmsg_free(message);
  if (result >= 0) result = nl_recvmsgs(socket_.get(), callbacks);
  nl_cb_put(callbacks);
  return result;
}

bool Netlink::has_rule_of_ours(IpFamily family) {
  fib_rule_hdr header{};
  header.family = static_cast<uint8_t>(family_of(family));
  bool found = false;
  return dump(RTM_GETRULE, header, look_for_priority, &found) >= 0 && found;
}

bool Netlink::has_route(const IpPrefix& destination, uint32_t table) {
  rtmsg header{};
  header.rtm_family = static_cast<unsigned char>(family_of(destination.address.family()));
  RouteQuestion question{destination.normalized(), table};
  return dump(RTM_GETROUTE, header, look_for_route, &question) >= 0 && question.found;
}

std::set<std::string> Netlink::interfaces_with_advertised_default() {
  rtmsg header{};
  header.rtm_family = AF_INET6;
  std::set<std::string> names;
  static_cast<void>(dump(RTM_GETROUTE, header, look_for_advertised_default, &names));
  return names;
}

std::vector<Netlink::TunnelRoute> Netlink::main_routes() {
  std::vector<TunnelRoute> routes;
  for (const int family : {AF_INET, AF_INET6}) {
    rtmsg header{};
    header.rtm_family = static_cast<unsigned char>(family);
    static_cast<void>(dump(RTM_GETROUTE, header, take_main_route, &routes));
  }
  return routes;
}

std::vector<IpPrefix> Netlink::destinations_of_others(unsigned own_interface) {
  std::vector<IpPrefix> destinations;
  for (const TunnelRoute& route : main_routes()) {
    if (route.interface != own_interface) destinations.push_back(route.destination);
  }
  return destinations;
}

std::vector<Netlink::TunnelRoute> Netlink::routes_into_other_tunnels(unsigned own_interface) {
  std::vector<TunnelRoute> routes = main_routes();
  const IpPrefix link_local = *IpPrefix::parse("fe80::/10");
  std::map<uint32_t, bool> are_tunnels{{own_interface, false}};
  std::erase_if(routes, [&](const TunnelRoute& route) {
    const auto [known, is_new] = are_tunnels.try_emplace(route.interface);
    if (is_new) {
      rtnl_link* found = nullptr;
      const int result =
          rtnl_link_get_kernel(socket_.get(), static_cast<int>(route.interface), nullptr, &found);
      const LinkPtr link(result < 0 ? nullptr : found);
      known->second = link && rtnl_link_get_arptype(link.get()) == ARPHRD_NONE;
    }
    return !known->second || link_local.contains(route.destination.address);
  });
  return routes;
}

bool Netlink::has_routes(uint32_t table) {
  rtmsg header{};
  header.rtm_family = AF_UNSPEC;
  TableQuestion question{table};
  return dump(RTM_GETROUTE, header, look_for_table, &question) >= 0 && question.found;
}

std::optional<Route> Netlink::route_to(const IpAddress& to, uint32_t mark) {
  nl_msg* const message = nlmsg_alloc_simple(RTM_GETROUTE, 0);
  rtmsg header{};
  header.rtm_family = static_cast<unsigned char>(family_of(to.family()));
  header.rtm_dst_len = static_cast<unsigned char>(to.bit_count());
  nlmsg_append(message, &header, sizeof header, NLMSG_ALIGNTO);
  nla_put(message, RTA_DST, static_cast<int>(to.bytes().size()), to.bytes().data());
  if (mark != 0) nla_put_u32(message, RTA_MARK, mark);
  Route answer;
  nl_cb* const callbacks = nl_cb_alloc(NL_CB_DEFAULT);
  nl_cb_set(callbacks, NL_CB_VALID, NL_CB_CUSTOM, read_route_answer, &answer);
  int result = nl_send_auto(socket_.get(), message);
  nlmsg_free(message);
  if (result >= 0) result = nl_recvmsgs(socket_.get(), callbacks);  // the answer, or the error
  if (result >= 0) result = nl_wait_for_ack(socket_.get());
  nl_cb_put(callbacks);
  if (result < 0) return std::nullopt;
  if (answer.mtu == 0 && answer.interface != 0) answer.mtu = mtu_of(answer.interface).value_or(0);
  return answer;
}

}  // namespace vpn::host
