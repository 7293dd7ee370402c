// What the kernel's netlink messages say, read from their bytes without trusting a length: libnl sees to it
// that a message lies within what was received, not that it holds what its type promises.
//
// Each function takes one whole message, header included, at an address aligned to 4. Empty: it is shorter
// than its type's fixed part. An attribute that is too short for its value is as good as none; of several of
// one type the first counts.
#pragma once

#include <cstdint>
#include <optional>

#include "vpn/base/bytes.h"
#include "vpn/base/ip_address.h"
#include "vpn/host/firewall_rules.h"

struct nl_msg;

namespace vpn::host {

// RTM_NEWROUTE: an entry of a table, or the answer to the question for a way.
struct RouteMessage {
  uint8_t destination_bits = 0;  // 0: a default route, which need not tell a destination
  std::optional<IpAddress> destination;
  std::optional<uint32_t> table;
  uint32_t interface = 0;  // 0: into none
  uint32_t metric = 0;
  std::optional<IpAddress> gateway;
  std::optional<IpAddress> source;
  // 0: the route says none, or one that expires: that was learned from an ICMP message, which anybody may
  // have sent.
  uint32_t mtu = 0;
  friend bool operator==(const RouteMessage&, const RouteMessage&) = default;
};
// Reads RTM_NEWROUTE.
[[nodiscard]] std::optional<RouteMessage> read_route(BytesView message) noexcept;
// Whether it is a route to exactly this destination (host bits cleared) in this table.
[[nodiscard]] bool leads_to(const RouteMessage& route, const IpPrefix& destination, uint32_t table) noexcept;

// RTM_NEWRULE: the rule's priority, where it tells one.
[[nodiscard]] std::optional<uint32_t> read_rule_priority(BytesView message) noexcept;

// RTM_NEWLINK, RTM_DELLINK.
struct LinkMessage {
  uint32_t interface = 0;
  bool is_removed = false;
  bool is_up = false;  // administratively
  std::optional<uint32_t> mtu;
  friend bool operator==(const LinkMessage&, const LinkMessage&) = default;
};
// Reads RTM_NEWLINK and RTM_DELLINK.
[[nodiscard]] std::optional<LinkMessage> read_link(BytesView message) noexcept;

// SOCK_DIAG_BY_FAMILY: a TCP socket. Addresses of IPv4 in IPv6 form (::ffff:192.0.2.1) come out as IPv4.
struct SocketMessage {
  bool is_listening = false;
  TcpSession session;  // of one that listens only local_port says something
  friend bool operator==(const SocketMessage&, const SocketMessage&) = default;
};
// Reads SOCK_DIAG_BY_FAMILY; of UDP too, where a socket that is not connected has no remote.
[[nodiscard]] std::optional<SocketMessage> read_socket(BytesView message) noexcept;

// The bytes of a message that libnl hands to a callback, valid as long as it is.
[[nodiscard]] BytesView bytes_of(nl_msg* message) noexcept;

}  // namespace vpn::host
