// What the daemon reads of the kernel's netlink messages. The first byte chooses a route, a rule, a link, a
// link that is removed, or a socket; the rest is the message after its header.
//
// What is read is what a slow reader reads that knows only the offsets and numbers of the kernel's interface
// (netlink(7), rtnetlink(7), sock_diag(7)); a message is refused exactly when its fixed part is cut short;
// and what was read, written into a message anew by libnl, reads the same.
#include <linux/fib_rules.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "fuzz/input.h"
#include "vpn/base/check.h"
#include "vpn/host/netlink_message.h"

namespace vpn {
namespace {

using Bytes = std::vector<uint8_t>;
using host::LinkMessage;
using host::RouteMessage;
using host::SocketMessage;

constexpr size_t kHeaderBytes = 16;
constexpr uint16_t kSocketType = 20;  // SOCK_DIAG_BY_FAMILY

// ── The slow reader ──

template <std::unsigned_integral T>
T in_host_order(BytesView bytes, size_t at) {
  T value = 0;
  std::memcpy(&value, &bytes[at], sizeof value);
  return value;
}

// The first attribute of this type: two bytes of length, these four included; two of type, whose upper two
// bits are flags; the value; and what fills it up to a multiple of four.
std::optional<Bytes> attribute(const Bytes& bytes, size_t from, unsigned wanted) {
  for (size_t at = from; at + 4 <= bytes.size();) {
    const size_t length = in_host_order<uint16_t>(bytes, at);
    const unsigned type = in_host_order<uint16_t>(bytes, at + 2) & 0x3fffu;
    if (length < 4 || at + length > bytes.size()) return std::nullopt;
    const auto value = bytes.begin() + static_cast<std::ptrdiff_t>(at + 4);
    if (type == wanted) return Bytes(value, value + static_cast<std::ptrdiff_t>(length - 4));
    at += (length + 3) / 4 * 4;
  }
  return std::nullopt;
}

std::optional<uint32_t> number(const std::optional<Bytes>& value) {
  if (!value || value->size() < 4) return std::nullopt;
  return in_host_order<uint32_t>(*value, 0);
}

std::optional<IpAddress> address(const std::optional<Bytes>& value) {
  if (value && value->size() == 4) return IpAddress::ipv4(fixed_view<4>(*value));
  if (value && value->size() == 16) return IpAddress::ipv6(fixed_view<16>(*value));
  return std::nullopt;
}

std::optional<RouteMessage> naive_route(const Bytes& message) {
  constexpr size_t kAttributes = kHeaderBytes + 12;
  if (message.size() < kAttributes) return std::nullopt;
  RouteMessage route;
  route.destination_bits = message[kHeaderBytes + 1];
  route.destination = address(attribute(message, kAttributes, 1));
  route.interface = number(attribute(message, kAttributes, 4)).value_or(0);
  route.gateway = address(attribute(message, kAttributes, 5));
  route.metric = number(attribute(message, kAttributes, 6)).value_or(0);
  route.source = address(attribute(message, kAttributes, 7));
  route.table = number(attribute(message, kAttributes, 15));
  const Bytes metrics = attribute(message, kAttributes, 8).value_or(Bytes{});
  const Bytes cache = attribute(message, kAttributes, 12).value_or(Bytes{});
  const bool expires = cache.size() >= 32 && in_host_order<uint32_t>(cache, 8) != 0;
  if (!expires) route.mtu = number(attribute(metrics, 0, 2)).value_or(0);
  return route;
}

std::optional<uint32_t> naive_priority(const Bytes& message) {
  return message.size() < kHeaderBytes + 12 ? std::nullopt : number(attribute(message, kHeaderBytes + 12, 6));
}

std::optional<LinkMessage> naive_link(const Bytes& message, bool is_removed) {
  if (message.size() < kHeaderBytes + 16) return std::nullopt;
  return LinkMessage{in_host_order<uint32_t>(message, kHeaderBytes + 4), is_removed,
                     (in_host_order<uint32_t>(message, kHeaderBytes + 8) & 1) != 0,
                     number(attribute(message, kHeaderBytes + 16, 4))};
}

IpAddress naive_socket_address(BytesView bytes, bool is_ipv4) {
  const IpAddress whole = IpAddress::ipv6(fixed_view<16>(bytes));
  if (is_ipv4) return IpAddress::ipv4(fixed_view<4>(bytes));
  const bool is_mapped = IpPrefix::parse("::ffff:0:0/96")->contains(whole);
  return is_mapped ? IpAddress::ipv4(fixed_view<4>(bytes, 12)) : whole;
}

std::optional<SocketMessage> naive_socket(const Bytes& message) {
  if (message.size() < kHeaderBytes + 72) return std::nullopt;
  const BytesView fixed = BytesView(message).subspan(kHeaderBytes);
  const bool is_ipv4 = fixed[0] == 2;
  SocketMessage socket;
  socket.is_listening = fixed[1] == 10;
  socket.session.local_port = load_be<uint16_t>(&fixed[4]);
  socket.session.remote_port = load_be<uint16_t>(&fixed[6]);
  socket.session.local = naive_socket_address(fixed.subspan(8), is_ipv4);
  socket.session.remote = naive_socket_address(fixed.subspan(24), is_ipv4);
  return socket;
}

// ── What was read, written anew ──

class Writer {
 public:
  template <typename Fixed>
  Writer(int type, const Fixed& fixed) : message_(nlmsg_alloc_size(512)) {
    VPN_CHECK(nlmsg_put(message_, 0, 0, type, 0, 0) != nullptr);
    VPN_CHECK(nlmsg_append(message_, const_cast<Fixed*>(&fixed), sizeof fixed, NLMSG_ALIGNTO) == 0);
  }
  ~Writer() { nlmsg_free(message_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void put(int type, const std::optional<IpAddress>& value) {
    if (!value) return;
    const BytesView bytes = value->bytes();
    VPN_CHECK(nla_put(message_, type, static_cast<int>(bytes.size()), bytes.data()) == 0);
  }
  void put(int type, std::optional<uint32_t> value) {
    if (value) VPN_CHECK(nla_put_u32(message_, type, *value) == 0);
  }
  void put_nested(int type, int inner, uint32_t value) {
    nlattr* const begin = nla_nest_start(message_, type);
    VPN_CHECK(begin != nullptr && nla_put_u32(message_, inner, value) == 0);
    nla_nest_end(message_, begin);
  }
  BytesView bytes() { return host::bytes_of(message_); }

 private:
  nl_msg* message_;
};

void check_route(const Bytes& message) {
  const auto route = host::read_route(message);
  VPN_CHECK(route == naive_route(message));
  if (!route) return;
  rtmsg fixed{};
  fixed.rtm_dst_len = route->destination_bits;
  Writer writer(RTM_NEWROUTE, fixed);
  writer.put(RTA_DST, route->destination);
  writer.put(RTA_TABLE, route->table);
  writer.put(RTA_OIF, route->interface);
  writer.put(RTA_PRIORITY, route->metric);
  writer.put(RTA_GATEWAY, route->gateway);
  writer.put(RTA_PREFSRC, route->source);
  if (route->mtu != 0) writer.put_nested(RTA_METRICS, RTAX_MTU, route->mtu);
  VPN_CHECK(host::read_route(writer.bytes()) == route);

  // It is found by what it says, and by nothing else.
  const IpPrefix own{route->destination.value_or(IpAddress()), route->destination_bits};
  const bool says_where = route->destination.has_value() || route->destination_bits == 0;
  VPN_CHECK(host::leads_to(*route, own, route->table.value_or(0)) ==
            (says_where && route->table.has_value()));
  VPN_CHECK(!host::leads_to(*route, own, route->table.value_or(0) + 1));
  VPN_CHECK(
      !host::leads_to(*route, {own.address, static_cast<uint8_t>(own.length ^ 1)}, route->table.value_or(0)));
  Bytes other(own.address.bytes().begin(), own.address.bytes().end());
  other.back() ^= 1;
  const IpAddress next =
      own.address.is_ipv4() ? IpAddress::ipv4(fixed_view<4>(other)) : IpAddress::ipv6(fixed_view<16>(other));
  if (own.length != 0) VPN_CHECK(!host::leads_to(*route, {next, own.length}, route->table.value_or(0)));
}

void check_rule(const Bytes& message) {
  const auto priority = host::read_rule_priority(message);
  VPN_CHECK(priority == naive_priority(message));
  Writer writer(RTM_NEWRULE, fib_rule_hdr{});
  writer.put(FRA_PRIORITY, priority);
  VPN_CHECK(host::read_rule_priority(writer.bytes()) == priority);
}

void check_link(const Bytes& message, bool is_removed) {
  const auto link = host::read_link(message);
  VPN_CHECK(link == naive_link(message, is_removed));
  if (!link) return;
  ifinfomsg fixed{};
  fixed.ifi_index = static_cast<int>(link->interface);
  fixed.ifi_flags = link->is_up ? 1 : 0;
  Writer writer(is_removed ? RTM_DELLINK : RTM_NEWLINK, fixed);
  writer.put(IFLA_MTU, link->mtu);
  VPN_CHECK(host::read_link(writer.bytes()) == link);
}

void check_socket(const Bytes& message) {
  const auto socket = host::read_socket(message);
  VPN_CHECK(socket == naive_socket(message));
  // Of two addresses of IPv6 one alone may have been a mapped one.
  if (!socket || socket->session.local.family() != socket->session.remote.family()) return;
  inet_diag_msg fixed{};
  fixed.idiag_family = socket->session.local.is_ipv4() ? AF_INET : AF_INET6;
  fixed.idiag_state = socket->is_listening ? 10 : 1;
  store_be(reinterpret_cast<uint8_t*>(&fixed.id.idiag_sport), socket->session.local_port);
  store_be(reinterpret_cast<uint8_t*>(&fixed.id.idiag_dport), socket->session.remote_port);
  std::ranges::copy(socket->session.local.bytes(), reinterpret_cast<uint8_t*>(fixed.id.idiag_src));
  std::ranges::copy(socket->session.remote.bytes(), reinterpret_cast<uint8_t*>(fixed.id.idiag_dst));
  Writer writer(kSocketType, fixed);
  VPN_CHECK(host::read_socket(writer.bytes()) == socket);
}

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  fuzz::Input input({data, size});
  const unsigned kind = input.take<uint8_t>() % 5;
  constexpr uint16_t kTypes[] = {RTM_NEWROUTE, RTM_NEWRULE, RTM_NEWLINK, RTM_DELLINK, kSocketType};
  // The header as the kernel writes it: length, type, flags, sequence number, port.
  Bytes message(kHeaderBytes + input.rest().size());
  const auto length = static_cast<uint32_t>(message.size());
  std::memcpy(&message[0], &length, sizeof length);
  std::memcpy(&message[4], &kTypes[kind], sizeof kTypes[kind]);
  copy_bytes(input.rest(), MutableBytes(message).subspan(kHeaderBytes));
  if (kind == 0) check_route(message);
  if (kind == 1) check_rule(message);
  if (kind == 2 || kind == 3) check_link(message, kind == 3);
  if (kind == 4) check_socket(message);
  return 0;
}
