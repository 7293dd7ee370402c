#include "vpn/host/netlink_message.h"

#include <linux/fib_rules.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "vpn/base/endian.h"

namespace vpn::host {
namespace {

// A type's fixed part, which follows the header of every message.
template <typename Fixed>
std::optional<Fixed> fixed_part(BytesView message) noexcept {
  if (message.size() < NLMSG_HDRLEN + sizeof(Fixed)) return std::nullopt;
  Fixed fixed;
  std::memcpy(&fixed, message.data() + NLMSG_HDRLEN, sizeof fixed);
  return fixed;
}

template <typename Fixed>
BytesView attributes_after(BytesView message) noexcept {
  return message.subspan(std::min<size_t>(message.size(), NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(Fixed))));
}

// What an attribute holds; empty where there is none of this type.
BytesView attribute(BytesView attributes, int type) noexcept {
  const auto* const first = reinterpret_cast<const nlattr*>(attributes.data());
  const nlattr* const found = nla_find(first, static_cast<int>(attributes.size()), type);
  if (found == nullptr) return {};
  return {static_cast<const uint8_t*>(nla_data(found)), static_cast<size_t>(nla_len(found))};
}

std::optional<uint32_t> number(BytesView value) noexcept {
  if (value.size() < sizeof(uint32_t)) return std::nullopt;
  uint32_t number = 0;
  std::memcpy(&number, value.data(), sizeof number);
  return number;
}

std::optional<IpAddress> address(BytesView value) noexcept {
  if (value.size() == 4) return IpAddress::ipv4(fixed_view<4>(value));
  if (value.size() == 16) return IpAddress::ipv6(fixed_view<16>(value));
  return std::nullopt;
}

bool expires(BytesView cache_info) noexcept {
  rta_cacheinfo info{};
  if (cache_info.size() >= sizeof info) std::memcpy(&info, cache_info.data(), sizeof info);
  return info.rta_expires != 0;
}

// A socket of both families has the IPv4 addresses of its peers in IPv6 form.
IpAddress socket_address(uint8_t family, const __be32 (&words)[4]) noexcept {
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), words, bytes.size());
  constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (family == AF_INET) return IpAddress::ipv4(fixed_view<4>(bytes));
  if (std::equal(kMapped.begin(), kMapped.end(), bytes.begin()))
    return IpAddress::ipv4(fixed_view<4>(bytes, kMapped.size()));
  return IpAddress::ipv6(bytes);
}

}  // namespace

BytesView bytes_of(nl_msg* message) noexcept {
  const nlmsghdr* const header = nlmsg_hdr(message);
  return {reinterpret_cast<const uint8_t*>(header), header->nlmsg_len};
}

std::optional<RouteMessage> read_route(BytesView message) noexcept {
  const auto fixed = fixed_part<rtmsg>(message);
  if (!fixed) return std::nullopt;
  const BytesView attributes = attributes_after<rtmsg>(message);
  RouteMessage route;
  route.destination_bits = fixed->rtm_dst_len;
  route.destination = address(attribute(attributes, RTA_DST));
  route.table = number(attribute(attributes, RTA_TABLE));
  route.interface = number(attribute(attributes, RTA_OIF)).value_or(0);
  route.metric = number(attribute(attributes, RTA_PRIORITY)).value_or(0);
  route.gateway = address(attribute(attributes, RTA_GATEWAY));
  route.source = address(attribute(attributes, RTA_PREFSRC));
  if (!expires(attribute(attributes, RTA_CACHEINFO)))
    route.mtu = number(attribute(attribute(attributes, RTA_METRICS), RTAX_MTU)).value_or(0);
  return route;
}

bool leads_to(const RouteMessage& route, const IpPrefix& destination, uint32_t table) noexcept {
  return route.destination_bits == destination.length && route.table == table &&
         (destination.length == 0 || route.destination == destination.address);
}

std::optional<uint32_t> read_rule_priority(BytesView message) noexcept {
  if (!fixed_part<fib_rule_hdr>(message)) return std::nullopt;
  return number(attribute(attributes_after<fib_rule_hdr>(message), FRA_PRIORITY));
}

std::optional<LinkMessage> read_link(BytesView message) noexcept {
  const auto fixed = fixed_part<ifinfomsg>(message);
  if (!fixed) return std::nullopt;
  nlmsghdr header;
  std::memcpy(&header, message.data(), sizeof header);
  return LinkMessage{static_cast<uint32_t>(fixed->ifi_index), header.nlmsg_type == RTM_DELLINK,
                     (fixed->ifi_flags & IFF_UP) != 0,
                     number(attribute(attributes_after<ifinfomsg>(message), IFLA_MTU))};
}

std::optional<SocketMessage> read_socket(BytesView message) noexcept {
  const auto fixed = fixed_part<inet_diag_msg>(message);
  if (!fixed) return std::nullopt;
  const inet_diag_sockid& id = fixed->id;
  const uint8_t family = fixed->idiag_family;
  return SocketMessage{fixed->idiag_state == TCP_LISTEN,
                       {socket_address(family, id.idiag_src), ntohs(id.idiag_sport),
                        socket_address(family, id.idiag_dst), ntohs(id.idiag_dport)}};
}

}  // namespace vpn::host
