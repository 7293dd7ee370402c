#include "vpn/offload/inner_packet.h"

#include "vpn/base/endian.h"

namespace vpn::offload {
namespace {

constexpr size_t kIpv4Least = 20;
constexpr size_t kIpv6Header = 40;
constexpr size_t kTcpLeast = 20;
constexpr size_t kUdpHeader = 8;

// The IP header's part of the result; the transport's is still missing.
std::optional<InnerPacket> parse_ip(BytesView packet, bool length_in_header) noexcept {
  InnerPacket inner;
  inner.ipv4 = packet[0] >> 4 == 4;
  if (inner.ipv4) {
    if (packet.size() < kIpv4Least) return std::nullopt;
    inner.ip_header_bytes = static_cast<uint16_t>((packet[0] & 0x0f) * 4);
    inner.protocol = packet[9];
    inner.total_bytes = length_in_header ? load_be<uint16_t>(&packet[2]) : packet.size();
    const bool fragment = (load_be<uint16_t>(&packet[6]) & 0x3fff) != 0;  // more fragments, or an offset
    if (fragment || inner.ip_header_bytes < kIpv4Least) return std::nullopt;
    return inner;
  }
  if (packet[0] >> 4 != 6 || packet.size() < kIpv6Header) return std::nullopt;
  inner.ip_header_bytes = kIpv6Header;
  inner.protocol = packet[6];
  inner.total_bytes = length_in_header ? kIpv6Header + size_t{load_be<uint16_t>(&packet[4])} : packet.size();
  return inner;
}

}  // namespace

std::optional<InnerPacket> parse_inner_packet(BytesView packet, bool length_in_header) noexcept {
  if (packet.empty()) return std::nullopt;
  auto inner = parse_ip(packet, length_in_header);
  if (!inner || inner->total_bytes > packet.size()) return std::nullopt;
  const size_t at = inner->ip_header_bytes;
  if (inner->protocol == kProtocolUdp) {
    inner->transport_bytes = kUdpHeader;
  } else if (inner->protocol == kProtocolTcp) {
    if (inner->total_bytes < at + kTcpLeast) return std::nullopt;
    inner->transport_bytes = static_cast<uint16_t>((packet[at + 12] >> 4) * 4);
    if (inner->transport_bytes < kTcpLeast) return std::nullopt;
  } else {
    return std::nullopt;
  }
  if (inner->total_bytes < inner->header_bytes()) return std::nullopt;
  return inner;
}

}  // namespace vpn::offload
