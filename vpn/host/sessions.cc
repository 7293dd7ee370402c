#include "vpn/host/sessions.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <algorithm>
#include <memory>
#include <set>

#include "vpn/host/netlink_message.h"

namespace vpn::host {
namespace {

struct Found {
  std::set<uint16_t> listening;
  std::vector<TcpSession> connected;
};

int take_socket(nl_msg* message, void* out) {
  auto& found = *static_cast<Found*>(out);
  const auto socket = read_socket(bytes_of(message));
  if (!socket) return NL_SKIP;
  if (socket->is_listening) {
    found.listening.insert(socket->session.local_port);
  } else {
    found.connected.push_back(socket->session);
  }
  return NL_OK;
}

void ask(nl_sock* socket, uint8_t family, Found& found) {
  nl_msg* const message = nlmsg_alloc_simple(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
  inet_diag_req_v2 request{};
  request.sdiag_family = family;
  request.sdiag_protocol = IPPROTO_TCP;
  request.idiag_states = 1U << TCP_LISTEN | 1U << TCP_ESTABLISHED | 1U << TCP_CLOSE_WAIT;
  nlmsg_append(message, &request, sizeof request, NLMSG_ALIGNTO);
  nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, take_socket, &found);
  if (nl_send_auto(socket, message) >= 0) nl_recvmsgs_default(socket);
  nlmsg_free(message);
}

}  // namespace

std::vector<TcpSession> sessions_from_outside() {
  const std::unique_ptr<nl_sock, void (*)(nl_sock*)> socket(nl_socket_alloc(), nl_socket_free);
  if (!socket || nl_connect(socket.get(), NETLINK_SOCK_DIAG) < 0) return {};
  Found found;
  for (const int family : {AF_INET, AF_INET6}) ask(socket.get(), static_cast<uint8_t>(family), found);
  std::erase_if(found.connected, [&](const TcpSession& session) {
    return found.listening.count(session.local_port) == 0 || session.remote == session.local;
  });
  std::sort(found.connected.begin(), found.connected.end());
  return std::move(found.connected);
}

}  // namespace vpn::host
