#include "vpn/wire/ip_packet.h"

#include "vpn/base/endian.h"

namespace vpn::wire {
namespace {

constexpr size_t kIpv4HeaderBytes = 20;
constexpr size_t kIpv6HeaderBytes = 40;

unsigned version(BytesView bytes) noexcept {
  return bytes[0] >> 4;
}

uint8_t ipv6_traffic_class(BytesView bytes) noexcept {
  return static_cast<uint8_t>(load_be<uint16_t>(bytes.data()) >> 4);
}

Result<IpPacket, IpError> parse_ipv4(BytesView bytes) noexcept {
  if (bytes.size() < kIpv4HeaderBytes) return fail(IpError::kLength);
  const size_t header_bytes = size_t{bytes[0] & 0x0fu} * 4;
  const size_t length = load_be<uint16_t>(bytes.data() + 2);
  if (header_bytes < kIpv4HeaderBytes || length < header_bytes || length > bytes.size())
    return fail(IpError::kLength);
  return IpPacket{IpAddress::ipv4(fixed_view<4>(bytes, 12)), IpAddress::ipv4(fixed_view<4>(bytes, 16)),
                  length, static_cast<uint8_t>(bytes[1] & kEcnMask)};
}

Result<IpPacket, IpError> parse_ipv6(BytesView bytes) noexcept {
  if (bytes.size() < kIpv6HeaderBytes) return fail(IpError::kLength);
  // Wider than 16 bits on purpose: a payload length near 65,535 plus the header must not wrap.
  const size_t length = kIpv6HeaderBytes + load_be<uint16_t>(bytes.data() + 4);
  if (length > bytes.size()) return fail(IpError::kLength);
  return IpPacket{IpAddress::ipv6(fixed_view<16>(bytes, 8)), IpAddress::ipv6(fixed_view<16>(bytes, 24)),
                  length, static_cast<uint8_t>(ipv6_traffic_class(bytes) & kEcnMask)};
}

// Replaces the IPv4 TOS byte and updates the header checksum incrementally (RFC 1624, equation 3).
void set_ipv4_tos(MutableBytes packet, uint8_t tos) noexcept {
  const uint16_t old_word = load_be<uint16_t>(packet.data());
  packet[1] = tos;
  const uint16_t new_word = load_be<uint16_t>(packet.data());
  uint32_t sum = static_cast<uint16_t>(~load_be<uint16_t>(packet.data() + 10));
  sum += static_cast<uint16_t>(~old_word);
  sum += new_word;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  store_be(packet.data() + 10, static_cast<uint16_t>(~sum));
}

}  // namespace

Result<IpPacket, IpError> parse_ip_packet(BytesView bytes) noexcept {
  if (bytes.empty()) return fail(IpError::kLength);
  if (version(bytes) == 4) return parse_ipv4(bytes);
  if (version(bytes) == 6) return parse_ipv6(bytes);
  return fail(IpError::kNotIp);
}

void apply_outer_ecn(MutableBytes packet, uint8_t outer_ecn) noexcept {
  const bool ipv4 = version(packet) == 4;
  const uint8_t traffic_class = ipv4 ? packet[1] : ipv6_traffic_class(packet);
  const uint8_t inner = traffic_class & kEcnMask;
  const bool mark = outer_ecn == kEcnCe && (inner == kEcnEct0 || inner == kEcnEct1);
  const bool ect1 = outer_ecn == kEcnEct1 && inner == kEcnEct0;
  if (!mark && !ect1) return;
  const auto combined = static_cast<uint8_t>((traffic_class & ~kEcnMask) | outer_ecn);
  if (ipv4) {
    set_ipv4_tos(packet, combined);
  } else {
    packet[1] =
        static_cast<uint8_t>((packet[1] & 0x0f) | (combined << 4));  // the low half of the traffic class
  }
}

}  // namespace vpn::wire
