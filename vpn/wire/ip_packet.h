// The little that a tunnel must know of an inner IP packet: whose it is, where to, how long, and its ECN
// field.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vpn/base/bytes.h"
#include "vpn/base/ip_address.h"
#include "vpn/base/result.h"

namespace vpn::wire {

struct IpPacket {
  IpAddress source;
  IpAddress destination;
  size_t length = 0;  // by its own header: of the whole packet, at most the bytes given
  uint8_t ecn = 0;    // 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE
};

enum class IpError : uint8_t {
  kNotIp,   // the version is neither 4 nor 6
  kLength,  // shorter than its header, or longer (by its own word) than the bytes given
};

// Reads the header of the IP packet at the front of `bytes`, which may be followed by padding.
[[nodiscard]] Result<IpPacket, IpError> parse_ip_packet(BytesView bytes) noexcept;

inline constexpr uint8_t kEcnMask = 3;
inline constexpr uint8_t kEcnEct1 = 1;
inline constexpr uint8_t kEcnEct0 = 2;
inline constexpr uint8_t kEcnCe = 3;

// Combines the outer ECN field into the inner header on leaving the tunnel (RFC 6040 section 4.2), mending
// the IPv4 checksum. `packet` has parsed. One row differs, as in Linux: CE outside of a Not-ECT packet leaves
// the packet alone instead of dropping it, since the outer header is not authenticated and old routers write
// to these bits.
void apply_outer_ecn(MutableBytes packet, uint8_t outer_ecn) noexcept;

}  // namespace vpn::wire
