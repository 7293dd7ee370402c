#include "lab/kernel/kernel_wireguard.h"

#include <arpa/inet.h>
#include <linux/wireguard.h>
#include <netinet/in.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

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

}  // namespace

Result<void> set_kernel_device(const std::string& interface, const vpn::config::DeviceChange& change) {
  const std::unique_ptr<nl_sock, FreeSocket> socket(nl_socket_alloc());
  int code = genl_connect(socket.get());
  const int family = code < 0 ? code : genl_ctrl_resolve(socket.get(), WG_GENL_NAME);
  if (family < 0) {
    return fail(interface, std::string("finding the kernel's WireGuard: ") + nl_geterror(family),
                "use kind vpn or wireguard-go, or 'lab vm run'");
  }
  const std::unique_ptr<nl_msg, FreeMessage> message(nlmsg_alloc_size(kMessageBytes));
  genlmsg_put(message.get(), NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, NLM_F_REQUEST | NLM_F_ACK,
              WG_CMD_SET_DEVICE, WG_GENL_VERSION);
  nla_put_string(message.get(), WGDEVICE_A_IFNAME, interface.c_str());
  if (change.private_key) put_key(message.get(), WGDEVICE_A_PRIVATE_KEY, change.private_key->view());
  if (change.listen_port) nla_put_u16(message.get(), WGDEVICE_A_LISTEN_PORT, *change.listen_port);
  if (change.replace_peers) nla_put_u32(message.get(), WGDEVICE_A_FLAGS, WGDEVICE_F_REPLACE_PEERS);
  nlattr* const peers = nla_nest_start(message.get(), WGDEVICE_A_PEERS);
  for (const auto& peer : change.peers) put_peer(message.get(), peer);
  nla_nest_end(message.get(), peers);
  code = nl_send_auto(socket.get(), message.get());
  if (code >= 0) code = nl_wait_for_ack(socket.get());
  if (code < 0)
    return fail(interface, std::string("setting the kernel's WireGuard: ") + nl_geterror(code),
                "see 'lab doctor'");
  return {};
}

}  // namespace lab
