// What a router does with a packet that is too long for its next link.
#pragma once

#include <cstdint>
#include <vector>

#include "vpn/base/bytes.h"

namespace lab {

// The Ethernet frame that goes back for `frame`: ICMP "fragmentation needed" (RFC 792, RFC 1191) or ICMPv6
// "packet too big" (RFC 4443, section 3.2), naming `mtu_bytes`. It comes from the frame's own destination,
// for a link has no address of its own. Empty where none may be sent: for what is no IP, for IPv4 that may be
// fragmented, for multicast, for ICMP errors.
[[nodiscard]] std::vector<uint8_t> too_big_answer(vpn::BytesView frame, uint32_t mtu_bytes);

// The Ethernet frames that carry the same IPv4 packet in fragments of at most `mtu_bytes` (RFC 791,
// section 3.2). Empty where it may not be fragmented: IPv6, IPv4 with DF, IPv4 with options.
[[nodiscard]] std::vector<std::vector<uint8_t>> fragments_of(vpn::BytesView frame, uint32_t mtu_bytes);

}  // namespace lab
