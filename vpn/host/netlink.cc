#include "vpn/host/netlink.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

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

int family_of(IpFamily family) {
  return family == IpFamily::kIpv4 ? AF_INET : AF_INET6;
}

BytesPtr to_nl(const IpPrefix& prefix) {
  const BytesView bytes = prefix.address.bytes();
  BytesPtr address(nl_addr_build(family_of(prefix.address.family()), bytes.data(), bytes.size()));
  nl_addr_set_prefixlen(address.get(), prefix.length);
  return address;
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

RoutePtr route_of(unsigned interface, const IpPrefix& destination, uint32_t table) {
  RoutePtr route(rtnl_route_alloc());
  rtnl_route_set_family(route.get(), static_cast<uint8_t>(family_of(destination.address.family())));
  rtnl_route_set_dst(route.get(), to_nl(destination).get());
  rtnl_route_set_table(route.get(), table);
  rtnl_route_set_protocol(route.get(), RTPROT_BOOT);
  rtnl_route_set_scope(route.get(), destination.address.is_ipv4() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
  rtnl_nexthop* const hop = rtnl_route_nh_alloc();
  rtnl_route_nh_set_ifindex(hop, static_cast<int>(interface));
  rtnl_route_add_nexthop(route.get(), hop);  // takes it
  return route;
}

struct Rule {
  IpFamily family = IpFamily::kIpv4;
  uint32_t table = 0;
  uint32_t unless_mark = 0;  // 0: for every packet
  std::optional<uint32_t> suppress_prefix;
};

// libnl 3.7 knows neither inverted rules nor suppressed prefixes, so the message is made here.
nl_msg* rule_message(const Rule& rule, int type, int flags) {
  nl_msg* const message = nlmsg_alloc_simple(type, flags);
  fib_rule_hdr header{};
  header.family = static_cast<uint8_t>(family_of(rule.family));
  header.action = FR_ACT_TO_TBL;
  header.table = RT_TABLE_UNSPEC;
  if (rule.unless_mark != 0) header.flags = FIB_RULE_INVERT;
  nlmsg_append(message, &header, sizeof header, NLMSG_ALIGNTO);
  nla_put_u32(message, FRA_TABLE, rule.table);
  if (rule.unless_mark != 0) nla_put_u32(message, FRA_FWMARK, rule.unless_mark);
  if (rule.suppress_prefix) nla_put_u32(message, FRA_SUPPRESS_PREFIXLEN, *rule.suppress_prefix);
  return message;
}

constexpr int kNewRule = NLM_F_CREATE | NLM_F_EXCL;

// What a route lookup's answer holds that matters here.
struct RouteAnswer {
  uint32_t mtu = 0;
  uint32_t interface = 0;
};

int read_route_answer(nl_msg* message, void* out) {
  auto& answer = *static_cast<RouteAnswer*>(out);
  nlattr* attributes[RTA_MAX + 1];
  if (nlmsg_parse(nlmsg_hdr(message), sizeof(rtmsg), attributes, RTA_MAX, nullptr) < 0) return NL_SKIP;
  if (attributes[RTA_OIF] != nullptr) answer.interface = nla_get_u32(attributes[RTA_OIF]);
  nlattr* metrics[RTAX_MAX + 1];
  if (attributes[RTA_METRICS] != nullptr &&
      nla_parse_nested(metrics, RTAX_MAX, attributes[RTA_METRICS], nullptr) >= 0 &&
      metrics[RTAX_MTU] != nullptr) {
    answer.mtu = nla_get_u32(metrics[RTAX_MTU]);
  }
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

Done Netlink::delete_link(unsigned interface) {
  return done(rtnl_link_delete(socket_.get(), link_of(interface).get()), "delete the interface",
              NLE_OBJ_NOTFOUND);
}

Result<uint32_t, Error> Netlink::mtu_of(unsigned interface) {
  rtnl_link* found = nullptr;
  const int result = rtnl_link_get_kernel(socket_.get(), static_cast<int>(interface), nullptr, &found);
  if (result < 0) return fail(Error{"", 0, "", std::string("read the MTU: ") + nl_geterror(result), ""});
  const LinkPtr link(found);
  return rtnl_link_get_mtu(link.get());
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

Done Netlink::add_route(unsigned interface, const IpPrefix& destination, uint32_t table) {
  const RoutePtr route = route_of(interface, destination, table);
  const int result = rtnl_route_add(socket_.get(), route.get(), NLM_F_EXCL);
  const std::string what = "add route " + destination.to_string();
  if (result == -NLE_EXIST) {
    return fail(Error{"", 0, "", what + ": table " + std::to_string(table) + " has one already",
                      "take the prefix out of AllowedIPs, or choose another Table"});
  }
  return done(result, what, 0);
}

Done Netlink::remove_route(unsigned interface, const IpPrefix& destination, uint32_t table) {
  const RoutePtr route = route_of(interface, destination, table);
  const int result = rtnl_route_delete(socket_.get(), route.get(), 0);
  return done(result == -NLE_RANGE ? -NLE_OBJ_NOTFOUND : result, "remove route " + destination.to_string(),
              NLE_OBJ_NOTFOUND);
}

Done Netlink::add_mark_rule(IpFamily family, uint32_t mark, uint32_t table) {
  const Rule rule{family, table, mark, std::nullopt};
  return done(request(rule_message(rule, RTM_NEWRULE, kNewRule)), "add the rule for unmarked packets",
              NLE_EXIST);
}

Done Netlink::remove_mark_rule(IpFamily family, uint32_t mark, uint32_t table) {
  const Rule rule{family, table, mark, std::nullopt};
  return done(request(rule_message(rule, RTM_DELRULE, 0)), "remove the rule for unmarked packets",
              NLE_OBJ_NOTFOUND);
}

Done Netlink::add_suppress_rule(IpFamily family) {
  const Rule rule{family, RT_TABLE_MAIN, 0, 0};
  return done(request(rule_message(rule, RTM_NEWRULE, kNewRule)),
              "add the rule that suppresses default routes", NLE_EXIST);
}

Done Netlink::remove_suppress_rule(IpFamily family) {
  const Rule rule{family, RT_TABLE_MAIN, 0, 0};
  return done(request(rule_message(rule, RTM_DELRULE, 0)), "remove the rule that suppresses default routes",
              NLE_OBJ_NOTFOUND);
}

std::optional<uint32_t> Netlink::path_mtu(const IpAddress& to) {
  nl_msg* const message = nlmsg_alloc_simple(RTM_GETROUTE, 0);
  rtmsg header{};
  header.rtm_family = static_cast<unsigned char>(family_of(to.family()));
  header.rtm_dst_len = static_cast<unsigned char>(to.bit_count());
  nlmsg_append(message, &header, sizeof header, NLMSG_ALIGNTO);
  nla_put(message, RTA_DST, static_cast<int>(to.bytes().size()), to.bytes().data());
  RouteAnswer answer;
  nl_cb* const callbacks = nl_cb_alloc(NL_CB_DEFAULT);
  nl_cb_set(callbacks, NL_CB_VALID, NL_CB_CUSTOM, read_route_answer, &answer);
  int result = nl_send_auto(socket_.get(), message);
  nlmsg_free(message);
  if (result >= 0) result = nl_recvmsgs(socket_.get(), callbacks);  // the answer, or the error
  if (result >= 0) result = nl_wait_for_ack(socket_.get());
  nl_cb_put(callbacks);
  if (result < 0) return std::nullopt;
  if (answer.mtu != 0) return answer.mtu;
  const auto mtu = mtu_of(answer.interface);
  return mtu ? std::optional(*mtu) : std::nullopt;
}

}  // namespace vpn::host
