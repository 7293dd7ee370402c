#include "lab/kernel/netlink.h"

#include <linux/if_addr.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

namespace lab {
namespace {

template <auto Put>
struct Putter {
  template <typename T>
  void operator()(T* object) const {
    Put(object);
  }
};
using LinkPtr = std::unique_ptr<rtnl_link, Putter<rtnl_link_put>>;
using AddrPtr = std::unique_ptr<rtnl_addr, Putter<rtnl_addr_put>>;
using RoutePtr = std::unique_ptr<rtnl_route, Putter<rtnl_route_put>>;
using NlAddrPtr = std::unique_ptr<nl_addr, Putter<nl_addr_put>>;

Result<void> check(int code, const std::string& where, const std::string& what) {
  if (code >= 0) return {};
  std::string remedy;
  if (code == -NLE_PERM) remedy = "run as root, or see 'lab doctor'";
  if (code == -NLE_OPNOTSUPP) remedy = "this kernel lacks it; see 'lab doctor', or use 'lab vm run'";
  return fail(where, what + ": " + nl_geterror(code), remedy);
}

Result<LinkPtr> find(nl_sock* socket, const std::string& name) {
  rtnl_link* raw = nullptr;
  if (auto found =
          check(rtnl_link_get_kernel(socket, 0, name.c_str(), &raw), name, "looking the interface up");
      !found) {
    return fail(found.error());
  }
  return LinkPtr(raw);
}

// Sends the difference that `edit` makes to the interface.
template <typename Edit>
Result<void> change(nl_sock* socket, const std::string& name, const std::string& what, Edit edit) {
  auto link = find(socket, name);
  if (!link) return fail(link.error());
  LinkPtr changes(rtnl_link_alloc());
  edit(changes.get());
  return check(rtnl_link_change(socket, link->get(), changes.get(), 0), name, what);
}

Result<void> create(nl_sock* socket, const std::string& name, const char* kind) {
  LinkPtr link(rtnl_link_alloc());
  rtnl_link_set_name(link.get(), name.c_str());
  if (auto typed = check(rtnl_link_set_type(link.get(), kind), name, std::string("making a ") + kind); !typed)
    return typed;
  return check(rtnl_link_add(socket, link.get(), NLM_F_CREATE | NLM_F_EXCL), name,
               std::string("making a ") + kind);
}

int family_of(const vpn::IpAddress& address) {
  return address.is_ipv4() ? AF_INET : AF_INET6;
}

NlAddrPtr to_nl(const vpn::IpAddress& address, unsigned prefix_length) {
  NlAddrPtr result(nl_addr_build(family_of(address), address.bytes().data(), address.bytes().size()));
  nl_addr_set_prefixlen(result.get(), static_cast<int>(prefix_length));
  return result;
}

}  // namespace

void Netlink::Free::operator()(nl_sock* socket) const {
  nl_socket_free(socket);
}

Result<Netlink> Netlink::open() {
  Netlink netlink(nl_socket_alloc());
  if (auto done = check(nl_connect(netlink.socket(), NETLINK_ROUTE), "netlink", "connecting"); !done) {
    return fail(done.error());
  }
  return netlink;
}

Result<void> Netlink::create_veth(const std::string& name, const std::string& peer, int peer_namespace) {
  LinkPtr link(rtnl_link_veth_alloc());
  rtnl_link_set_name(link.get(), name.c_str());
  rtnl_link* const far_end = rtnl_link_veth_get_peer(link.get());
  rtnl_link_set_name(far_end, peer.c_str());
  rtnl_link_set_ns_fd(far_end, peer_namespace);
  rtnl_link_put(far_end);
  return check(rtnl_link_add(socket(), link.get(), NLM_F_CREATE | NLM_F_EXCL), name, "making a veth pair");
}

Result<void> Netlink::create_bridge(const std::string& name) {
  return create(socket(), name, "bridge");
}

Result<void> Netlink::create_wireguard(const std::string& name) {
  return create(socket(), name, "wireguard");
}

Result<void> Netlink::set_master(const std::string& name, const std::string& bridge) {
  return check(rtnl_link_enslave_ifindex(socket(), index_of(bridge), index_of(name)), name,
               "joining bridge " + bridge);
}

Result<void> Netlink::set_up(const std::string& name, bool up) {
  return change(socket(), name, up ? "setting it up" : "setting it down", [&](rtnl_link* link) {
    up ? rtnl_link_set_flags(link, IFF_UP) : rtnl_link_unset_flags(link, IFF_UP);
  });
}

Result<void> Netlink::set_mtu(const std::string& name, unsigned mtu_bytes) {
  return change(socket(), name, "setting the MTU to " + std::to_string(mtu_bytes),
                [&](rtnl_link* link) { rtnl_link_set_mtu(link, mtu_bytes); });
}

Result<void> Netlink::set_mac(const std::string& name, const MacAddress& mac) {
  const std::unique_ptr<nl_addr, Putter<nl_addr_put>> address(nl_addr_build(AF_LLC, mac.data(), mac.size()));
  return change(socket(), name, "setting the MAC address",
                [&](rtnl_link* link) { rtnl_link_set_addr(link, address.get()); });
}

Result<void> Netlink::add_address(const std::string& name, const vpn::IpPrefix& address) {
  AddrPtr entry(rtnl_addr_alloc());
  rtnl_addr_set_ifindex(entry.get(), index_of(name));
  rtnl_addr_set_family(entry.get(), family_of(address.address));
  rtnl_addr_set_local(entry.get(), to_nl(address.address, address.length).get());
  rtnl_addr_set_prefixlen(entry.get(), address.length);
  if (!address.address.is_ipv4()) rtnl_addr_set_flags(entry.get(), IFA_F_NODAD);
  return check(rtnl_addr_add(socket(), entry.get(), NLM_F_CREATE | NLM_F_EXCL), name,
               "adding address " + address.to_string());
}

Result<void> Netlink::add_route(const vpn::IpPrefix& to, const std::optional<vpn::IpAddress>& via,
                                const std::string& interface, uint32_t metric) {
  RoutePtr route(rtnl_route_alloc());
  rtnl_route_set_family(route.get(), static_cast<uint8_t>(family_of(to.address)));
  rtnl_route_set_table(route.get(), RT_TABLE_MAIN);
  rtnl_route_set_protocol(route.get(), RTPROT_STATIC);
  rtnl_route_set_scope(route.get(), via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK);
  rtnl_route_set_type(route.get(), RTN_UNICAST);
  if (metric != 0) rtnl_route_set_priority(route.get(), metric);
  rtnl_route_set_dst(route.get(), to_nl(to.normalized().address, to.length).get());
  rtnl_nexthop* const hop = rtnl_route_nh_alloc();
  if (via) rtnl_route_nh_set_gateway(hop, to_nl(*via, via->bit_count()).get());
  if (!interface.empty()) rtnl_route_nh_set_ifindex(hop, index_of(interface));
  rtnl_route_add_nexthop(route.get(), hop);
  const int code = rtnl_route_add(socket(), route.get(), NLM_F_CREATE | NLM_F_EXCL);
  return check(code == -NLE_EXIST ? 0 : code, interface,
               "adding the route to " + to.to_string() + (via ? " via " + via->to_string() : ""));
}

int Netlink::index_of(const std::string& name) {
  auto link = find(socket(), name);
  return link ? rtnl_link_get_ifindex(link->get()) : 0;
}

Result<InterfaceCounters> Netlink::counters_of(const std::string& name) {
  auto link = find(socket(), name);
  if (!link) return fail(link.error());
  const auto stat = [&](rtnl_link_stat_id_t id) { return rtnl_link_get_stat(link->get(), id); };
  return InterfaceCounters{stat(RTNL_LINK_RX_PACKETS), stat(RTNL_LINK_RX_BYTES), stat(RTNL_LINK_TX_PACKETS),
                           stat(RTNL_LINK_TX_BYTES)};
}

}  // namespace lab
