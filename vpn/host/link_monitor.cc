#include "vpn/host/link_monitor.h"

#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <utility>

#include "vpn/host/netlink_message.h"

namespace vpn::host {

Result<std::unique_ptr<LinkMonitor>, Error> LinkMonitor::open(unsigned interface, Handlers handlers) {
  auto listener = NetlinkListener::open(
      NETLINK_ROUTE, {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                      RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE});
  if (!listener)
    return fail(Error{"netlink", 0, "", listener.error().problem, "the kernel must have rtnetlink"});
  return std::unique_ptr<LinkMonitor>(new LinkMonitor(std::move(*listener), interface, std::move(handlers)));
}

LinkMonitor::LinkMonitor(std::unique_ptr<NetlinkListener> listener, unsigned interface, Handlers handlers)
    : listener_(std::move(listener)), interface_(interface), handlers_(std::move(handlers)) {}

void LinkMonitor::take_link(nl_msg* message) {
  const auto link = read_link(bytes_of(message));
  if (!link || link->interface != interface_) {
    handlers_.on_network();
  } else if (link->is_removed) {
    handlers_.on_removed();
  } else {
    handlers_.on_state(link->is_up);
    if (link->mtu) handlers_.on_mtu(static_cast<uint16_t>(*link->mtu));  // TUN's is at most 65,535
    handlers_.on_loss();
  }
}

// A host with a changing table of the whole Internet loses routes all the time.
void LinkMonitor::take_removal(nl_msg* message) {
  const auto type = nlmsg_hdr(message)->nlmsg_type;
  if (type != RTM_DELROUTE && type != RTM_DELRULE && type != RTM_DELADDR) return;
  constexpr uint32_t kLoopback = 1;  // where IPv6 has its unreachable routes
  const auto route = type == RTM_DELROUTE ? read_route(bytes_of(message)) : std::nullopt;
  if (!route || route->interface <= kLoopback || route->interface == interface_) handlers_.on_loss();
}

void LinkMonitor::hear() {
  listener_->hear(
      [this](nl_msg* message) {
        const auto type = nlmsg_hdr(message)->nlmsg_type;
        if (type == RTM_NEWLINK || type == RTM_DELLINK) {
          take_link(message);
        } else {
          take_removal(message);
          handlers_.on_network();
        }
      },
      [this] {  // of what was lost, something may have mattered
        handlers_.on_overrun();
        handlers_.on_loss();
        handlers_.on_network();
      });
}

}  // namespace vpn::host
