// An IP packet with TCP or UDP in it, as the offloads see one: where its headers begin and end.
#pragma once

#include <cstdint>
#include <optional>

#include "vpn/base/bytes.h"

namespace vpn::offload {

inline constexpr uint8_t kProtocolTcp = 6;
inline constexpr uint8_t kProtocolUdp = 17;

// The flags of a TCP header's byte 13 (RFC 9293, 3.1; CWR: RFC 3168, 6.1).
inline constexpr uint8_t kTcpFin = 0x01;
inline constexpr uint8_t kTcpPush = 0x08;
inline constexpr uint8_t kTcpAck = 0x10;
inline constexpr uint8_t kTcpCwr = 0x80;

struct InnerPacket {
  bool ipv4 = false;
  uint8_t protocol = 0;          // kProtocolTcp or kProtocolUdp
  uint16_t ip_header_bytes = 0;  // IPv4 with its options, IPv6 with its extension headers
  uint16_t transport_bytes = 0;  // of the TCP or UDP header
  size_t total_bytes = 0;        // by the IP header's own length field

  [[nodiscard]] size_t header_bytes() const noexcept { return size_t{ip_header_bytes} + transport_bytes; }
  [[nodiscard]] size_t payload_bytes() const noexcept { return total_bytes - header_bytes(); }
  // Source ‖ destination.
  [[nodiscard]] BytesView addresses(BytesView packet) const noexcept {
    return ipv4 ? packet.subspan(12, 8) : packet.subspan(8, 32);
  }
  [[nodiscard]] size_t checksum_offset() const noexcept { return protocol == kProtocolTcp ? 16 : 6; }
};

// Reads the headers of `packet`. Empty for anything but whole TCP and UDP packets: other protocols,
// fragments, IPv6 with extension headers, length fields that do not fit. `length_in_header` false: the IP
// length field is not looked at and the packet is taken to be as long as the buffer (super-packets over 64
// KiB - 1 do not exist here).
[[nodiscard]] std::optional<InnerPacket> parse_inner_packet(BytesView packet,
                                                            bool length_in_header = true) noexcept;

}  // namespace vpn::offload
