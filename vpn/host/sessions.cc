#include "vpn/host/sessions.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <set>

#include "vpn/host/netlink_message.h"
#include "vpn/io/udp_address_codec.h"
#include "vpn/io/unique_fd.h"

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

using Diagnosis = std::unique_ptr<nl_sock, void (*)(nl_sock*)>;

// Null where the kernel has none.
Diagnosis open_diagnosis() {
  Diagnosis socket(nl_socket_alloc(), nl_socket_free);
  if (socket && nl_connect(socket.get(), NETLINK_SOCK_DIAG) < 0) socket.reset();
  return socket;
}

bool is_own(const IpAddress& address) {
  const io::UniqueFd probe(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage bytes{};
  const socklen_t length = io::to_sockaddr({address, 0, 0}, bytes);
  return bind(probe.get(), reinterpret_cast<const sockaddr*>(&bytes), length) == 0;
}

struct Connections {
  const std::vector<IpAddress>& sources;
  std::vector<inet_diag_sockid> found;
};

int take_connection(nl_msg* message, void* out) {
  auto& connections = *static_cast<Connections*>(out);
  const auto socket = read_socket(bytes_of(message));
  if (!socket) return NL_SKIP;
  const auto& sources = connections.sources;
  if (std::find(sources.begin(), sources.end(), socket->session.local) != sources.end())
    connections.found.push_back(static_cast<const inet_diag_msg*>(nlmsg_data(nlmsg_hdr(message)))->id);
  return NL_OK;
}

size_t break_connections(nl_sock* socket, uint8_t protocol, const std::vector<IpAddress>& sources) {
  inet_diag_req_v2 request{};
  request.sdiag_family = AF_INET6;
  request.sdiag_protocol = protocol;
  request.idiag_states = ~uint32_t{0};
  Connections connections{sources, {}};
  nl_msg* const question = nlmsg_alloc_simple(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
  nlmsg_append(question, &request, sizeof request, NLMSG_ALIGNTO);
  nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, take_connection, &connections);
  if (nl_send_auto(socket, question) >= 0) nl_recvmsgs_default(socket);
  nlmsg_free(question);
  size_t left = 0;
  for (const inet_diag_sockid& id : connections.found) {
    request.id = id;
    nl_msg* const order = nlmsg_alloc_simple(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK);
    nlmsg_append(order, &request, sizeof request, NLMSG_ALIGNTO);
    const int sent = nl_send_auto(socket, order);
    nlmsg_free(order);
    const int result = sent < 0 ? sent : nl_wait_for_ack(socket);
    if (result < 0 && result != -NLE_OBJ_NOTFOUND) ++left;  // it may have ended by itself
  }
  return left;
}

}  // namespace

size_t break_connections_from(const std::vector<IpAddress>& addresses) {
  std::vector<IpAddress> sources;
  std::copy_if(addresses.begin(), addresses.end(), std::back_inserter(sources),
               [](const IpAddress& one) { return !one.is_ipv4() && !is_own(one); });
  const Diagnosis socket = sources.empty() ? Diagnosis(nullptr, nl_socket_free) : open_diagnosis();
  if (!socket) return 0;
  return break_connections(socket.get(), IPPROTO_TCP, sources) +
         break_connections(socket.get(), IPPROTO_UDP, sources);
}

std::vector<TcpSession> sessions_from_outside() {
  const Diagnosis socket = open_diagnosis();
  if (!socket) return {};
  Found found;
  for (const int family : {AF_INET, AF_INET6}) ask(socket.get(), static_cast<uint8_t>(family), found);
  std::erase_if(found.connected, [&](const TcpSession& session) {
    return found.listening.count(session.local_port) == 0 || session.remote == session.local;
  });
  std::sort(found.connected.begin(), found.connected.end());
  return std::move(found.connected);
}

}  // namespace vpn::host
