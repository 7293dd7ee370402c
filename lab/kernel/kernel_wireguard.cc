#include "lab/kernel/kernel_wireguard.h"

#include <arpa/inet.h>
#include <linux/wireguard.h>
#include <netinet/in.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include <array>
#include <cstring>
#include <memory>

namespace lab {
namespace {

struct FreeSocket {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
};
struct FreeMessage {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
};

constexpr size_t kMessageBytes = size_t{1} << 20;

void put_key(nl_msg* message, int attribute, std::span<const uint8_t, 32> key) {
  nla_put(message, attribute, static_cast<int>(key.size()), key.data());
}

void put_endpoint(nl_msg* message, const vpn::UdpAddress& endpoint) {
  if (endpoint.address.is_ipv4()) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    std::memcpy(&address.sin_addr, endpoint.address.bytes().data(), sizeof address.sin_addr);
    nla_put(message, WGPEER_A_ENDPOINT, sizeof address, &address);
    return;
  }
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(endpoint.port);
  address.sin6_scope_id = endpoint.scope_id;
  std::memcpy(&address.sin6_addr, endpoint.address.bytes().data(), sizeof address.sin6_addr);
  nla_put(message, WGPEER_A_ENDPOINT, sizeof address, &address);
}

void put_allowed_ips(nl_msg* message, const std::vector<vpn::config::AllowedIpChange>& changes) {
  nlattr* const list = nla_nest_start(message, WGPEER_A_ALLOWEDIPS);
  for (const auto& change : changes) {
    nlattr* const one = nla_nest_start(message, 0);
    const auto bytes = change.prefix.address.bytes();
    nla_put_u16(message, WGALLOWEDIP_A_FAMILY, change.prefix.address.is_ipv4() ? AF_INET : AF_INET6);
    nla_put(message, WGALLOWEDIP_A_IPADDR, static_cast<int>(bytes.size()), bytes.data());
    nla_put_u8(message, WGALLOWEDIP_A_CIDR_MASK, change.prefix.length);
    nla_nest_end(message, one);
  }
  nla_nest_end(message, list);
}

void put_peer(nl_msg* message, const vpn::config::PeerChange& peer) {
  nlattr* const one = nla_nest_start(message, 0);
  put_key(message, WGPEER_A_PUBLIC_KEY, peer.public_key.bytes);
  if (peer.preshared_key) put_key(message, WGPEER_A_PRESHARED_KEY, peer.preshared_key->view());
  if (peer.endpoint) put_endpoint(message, *peer.endpoint);
  if (peer.persistent_keepalive) {
    nla_put_u16(message, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, *peer.persistent_keepalive);
  }
  if (peer.replace_allowed_ips) nla_put_u32(message, WGPEER_A_FLAGS, WGPEER_F_REPLACE_ALLOWEDIPS);
  put_allowed_ips(message, peer.allowed_ips);
  nla_nest_end(message, one);
}

vpn::UdpAddress read_endpoint(nlattr* attribute) {
  sockaddr_in6 address{};
  nla_memcpy(&address, attribute, sizeof address);
  if (address.sin6_family == AF_INET6) {
    return {vpn::IpAddress::ipv6(std::span<const uint8_t, 16>(address.sin6_addr.s6_addr)),
            ntohs(address.sin6_port), address.sin6_scope_id};
  }
  sockaddr_in ipv4{};
  std::memcpy(&ipv4, &address, sizeof ipv4);
  std::array<uint8_t, 4> bytes{};
  std::memcpy(bytes.data(), &ipv4.sin_addr, bytes.size());
  return {vpn::IpAddress::ipv4(bytes), ntohs(ipv4.sin_port), 0};
}

void read_peer(nlattr* nest, std::vector<vpn::config::PeerReport>& peers) {
  std::array<nlattr*, WGPEER_A_MAX + 1> of{};
  if (nla_parse_nested(of.data(), WGPEER_A_MAX, nest, nullptr) != 0 || of[WGPEER_A_PUBLIC_KEY] == nullptr)
    return;
  vpn::config::PeerReport peer;
  nla_memcpy(peer.public_key.bytes.data(), of[WGPEER_A_PUBLIC_KEY], 32);
  // A peer of many allowed-IPs comes in several messages, of which the first says all the rest.
  if (!peers.empty() && peers.back().public_key == peer.public_key) return;
  if (of[WGPEER_A_ENDPOINT] != nullptr) peer.endpoint = read_endpoint(of[WGPEER_A_ENDPOINT]);
  if (of[WGPEER_A_RX_BYTES] != nullptr) peer.received_bytes = nla_get_u64(of[WGPEER_A_RX_BYTES]);
  if (of[WGPEER_A_TX_BYTES] != nullptr) peer.sent_bytes = nla_get_u64(of[WGPEER_A_TX_BYTES]);
  if (of[WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL] != nullptr)
    peer.persistent_keepalive = nla_get_u16(of[WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL]);
  int64_t handshake[2] = {};  // struct __kernel_timespec
  if (of[WGPEER_A_LAST_HANDSHAKE_TIME] != nullptr)
    nla_memcpy(handshake, of[WGPEER_A_LAST_HANDSHAKE_TIME], sizeof handshake);
  peer.last_handshake_seconds = handshake[0];
  peer.last_handshake_nanoseconds = static_cast<uint32_t>(handshake[1]);
  peers.push_back(std::move(peer));
}

// One message of the answer to WG_CMD_GET_DEVICE; `report` is a DeviceReport.
int read_device(nl_msg* message, void* report) {
  auto& device = *static_cast<vpn::config::DeviceReport*>(report);
  std::array<nlattr*, WGDEVICE_A_MAX + 1> of{};
  if (genlmsg_parse(nlmsg_hdr(message), 0, of.data(), WGDEVICE_A_MAX, nullptr) != 0) return NL_SKIP;
  if (of[WGDEVICE_A_LISTEN_PORT] != nullptr) device.listen_port = nla_get_u16(of[WGDEVICE_A_LISTEN_PORT]);
  if (of[WGDEVICE_A_FWMARK] != nullptr) device.fwmark = nla_get_u32(of[WGDEVICE_A_FWMARK]);
  if (of[WGDEVICE_A_PEERS] == nullptr) return NL_OK;
  int left = 0;
  nlattr* peer = nullptr;
  nla_for_each_nested(peer, of[WGDEVICE_A_PEERS], left) read_peer(peer, device.peers);
  return NL_OK;
}

// A socket of generic netlink, and the number that the kernel's WireGuard has there.
struct Connection {
  std::unique_ptr<nl_sock, FreeSocket> socket;
  int family = 0;
};

Result<Connection> connect(const std::string& interface) {
  Connection made{std::unique_ptr<nl_sock, FreeSocket>(nl_socket_alloc()), 0};
  const int code = genl_connect(made.socket.get());
  made.family = code < 0 ? code : genl_ctrl_resolve(made.socket.get(), WG_GENL_NAME);
  if (made.family >= 0) return made;
  return fail(interface, std::string("finding the kernel's WireGuard: ") + nl_geterror(made.family),
              "use kind vpn or wireguard-go, or 'lab vm run'");
}

std::unique_ptr<nl_msg, FreeMessage> begin(const Connection& connection, int flags, uint8_t command,
                                           const std::string& interface) {
  std::unique_ptr<nl_msg, FreeMessage> message(nlmsg_alloc_size(kMessageBytes));
  genlmsg_put(message.get(), NL_AUTO_PORT, NL_AUTO_SEQ, connection.family, 0, NLM_F_REQUEST | flags, command,
              WG_GENL_VERSION);
  nla_put_string(message.get(), WGDEVICE_A_IFNAME, interface.c_str());
  return message;
}

}  // namespace

Result<void> set_kernel_device(const std::string& interface, const vpn::config::DeviceChange& change) {
  const auto connection = connect(interface);
  if (!connection) return fail(connection.error());
  const auto message = begin(*connection, NLM_F_ACK, WG_CMD_SET_DEVICE, interface);
  if (change.private_key) put_key(message.get(), WGDEVICE_A_PRIVATE_KEY, change.private_key->view());
  if (change.listen_port) nla_put_u16(message.get(), WGDEVICE_A_LISTEN_PORT, *change.listen_port);
  if (change.replace_peers) nla_put_u32(message.get(), WGDEVICE_A_FLAGS, WGDEVICE_F_REPLACE_PEERS);
  nlattr* const peers = nla_nest_start(message.get(), WGDEVICE_A_PEERS);
  for (const auto& peer : change.peers) put_peer(message.get(), peer);
  nla_nest_end(message.get(), peers);
  int code = nl_send_auto(connection->socket.get(), message.get());
  if (code >= 0) code = nl_wait_for_ack(connection->socket.get());
  if (code < 0)
    return fail(interface, std::string("setting the kernel's WireGuard: ") + nl_geterror(code),
                "see 'lab doctor'");
  return {};
}

Result<vpn::config::DeviceReport> get_kernel_device(const std::string& interface) {
  const auto connection = connect(interface);
  if (!connection) return fail(connection.error());
  const auto message = begin(*connection, NLM_F_DUMP, WG_CMD_GET_DEVICE, interface);
  vpn::config::DeviceReport report;
  nl_socket_modify_cb(connection->socket.get(), NL_CB_VALID, NL_CB_CUSTOM, read_device, &report);
  int code = nl_send_auto(connection->socket.get(), message.get());
  if (code >= 0) code = nl_recvmsgs_default(connection->socket.get());
  if (code < 0) {
    return fail(interface, std::string("asking the kernel's WireGuard: ") + nl_geterror(code),
                "see 'lab exec HOST -- ip link'");
  }
  return report;
}

}  // namespace lab
