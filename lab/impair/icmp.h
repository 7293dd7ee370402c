// What a router answers to a packet that is too long for its next link.
#pragma once

#include <cstdint>
#include <vector>

#include "vpn/base/bytes.h"

namespace lab {

// The Ethernet frame that goes back for `frame`: ICMP "fragmentation needed" (RFC 792, RFC 1191) or ICMPv6 "packet too
// big" (RFC 4443, section 3.2), naming `mtu_bytes`. It comes from the frame's own destination, for a link has no address
// of its own. Empty where none may be sent: for what is no IP, for IPv4 that may be fragmented, for multicast, for ICMP
// errors.
[[nodiscard]] std::vector<uint8_t> too_big_answer(vpn::BytesView frame, uint32_t mtu_bytes);

}  // namespace lab
