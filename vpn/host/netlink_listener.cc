#include "vpn/host/netlink_listener.h"

#include <netlink/msg.h>
#include <netlink/netlink.h>

namespace vpn::host {

Result<std::unique_ptr<NetlinkListener>, Error> NetlinkListener::open(int family,
                                                                      std::initializer_list<int> groups) {
  nl_sock* const socket = nl_socket_alloc();
  nl_socket_disable_seq_check(socket);
  int result = nl_connect(socket, family);
  for (const int group : groups) {
    if (result >= 0) result = nl_socket_add_membership(socket, group);
  }
  if (result >= 0) result = nl_socket_set_nonblocking(socket);
  if (result < 0) {
    nl_socket_free(socket);
    return fail(Error{"", 0, "", nl_geterror(result), ""});
  }
  return std::unique_ptr<NetlinkListener>(new NetlinkListener(socket));
}

NetlinkListener::~NetlinkListener() {
  nl_socket_free(socket_);
}

int NetlinkListener::fd() const noexcept {
  return nl_socket_get_fd(socket_);
}

void NetlinkListener::hear(const std::function<void(nl_msg*)>& on_message,
                           const std::function<void()>& on_overrun) {
  const auto pass_on = [](nl_msg* message, void* handler) -> int {
    (*static_cast<const std::function<void(nl_msg*)>*>(handler))(message);
    return NL_OK;
  };
  nl_socket_modify_cb(socket_, NL_CB_VALID, NL_CB_CUSTOM, pass_on,
                      const_cast<std::function<void(nl_msg*)>*>(&on_message));
  // The kernel tells of an overrun before it hands out what had come until then, which is older than what was
  // lost.
  bool has_overrun = false;
  int result = 0;
  do {
    result = nl_recvmsgs_default(socket_);
    has_overrun = has_overrun || result == -NLE_NOMEM;
  } while (result >= 0 || result == -NLE_NOMEM);
  if (has_overrun) on_overrun();
}

}  // namespace vpn::host
