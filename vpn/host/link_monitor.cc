#include "vpn/host/link_monitor.h"

#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <utility>

#include "vpn/host/netlink_message.h"

namespace vpn::host {

Result<std::unique_ptr<LinkMonitor>, Error> LinkMonitor::open(unsigned interface, Handlers handlers) {
  nl_sock* const socket = nl_socket_alloc();
  nl_socket_disable_seq_check(socket);
  int result = nl_connect(socket, NETLINK_ROUTE);
  for (const int group : {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                          RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE}) {
    if (result >= 0) result = nl_socket_add_membership(socket, group);
  }
  if (result >= 0) result = nl_socket_set_nonblocking(socket);
  if (result < 0) {
    nl_socket_free(socket);
    return fail(Error{"netlink", 0, "", nl_geterror(result), "the kernel must have rtnetlink"});
  }
  return std::unique_ptr<LinkMonitor>(new LinkMonitor(socket, interface, std::move(handlers)));
}

LinkMonitor::LinkMonitor(nl_sock* socket, unsigned interface, Handlers handlers)
    : socket_(socket), interface_(interface), handlers_(std::move(handlers)) {
  const auto on_message = [](nl_msg* message, void* self) -> int {
    auto& monitor = *static_cast<LinkMonitor*>(self);
    const auto type = nlmsg_hdr(message)->nlmsg_type;
    if (type == RTM_NEWLINK || type == RTM_DELLINK) {
      monitor.take_link(message);
    } else {
      monitor.handlers_.on_network();
    }
    return NL_OK;
  };
  nl_socket_modify_cb(socket_, NL_CB_VALID, NL_CB_CUSTOM, on_message, this);
}

void LinkMonitor::take_link(nl_msg* message) {
  const auto link = read_link(bytes_of(message));
  if (!link || link->interface != interface_) {
    handlers_.on_network();
  } else if (link->is_removed) {
    handlers_.on_removed();
  } else if (link->mtu) {
    handlers_.on_mtu(static_cast<uint16_t>(*link->mtu));  // TUN's is at most 65,535
  }
}

LinkMonitor::~LinkMonitor() {
  nl_socket_free(socket_);
}

int LinkMonitor::fd() const noexcept {
  return nl_socket_get_fd(socket_);
}

void LinkMonitor::hear() {
  int result = 0;
  do {
    result = nl_recvmsgs_default(socket_);
    // More has happened than the socket could hold: what was lost may have mattered.
    if (result == -NLE_NOMEM) handlers_.on_network();
  } while (result >= 0 || result == -NLE_NOMEM);
}

}  // namespace vpn::host
