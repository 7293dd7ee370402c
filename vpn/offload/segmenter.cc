#include "vpn/offload/segmenter.h"

#include <algorithm>

#include "vpn/base/endian.h"
#include "vpn/offload/checksum.h"

namespace vpn::offload {
namespace {

uint16_t udp_checksum(uint16_t checksum) noexcept {
  return checksum == 0 ? 0xffff : checksum;
}  // RFC 768

}  // namespace

bool complete_checksum(const VnetHeader& header, MutableBytes packet) noexcept {
  if (!header.needs_checksum) return true;
  const size_t start = header.checksum_start;
  const size_t field = start + header.checksum_offset;
  if (start >= packet.size() || field + 2 > packet.size()) return false;
  // The field holds the pseudo header's sum, which takes part as data.
  uint16_t checksum = checksum_of(add_to_sum(PartialSum{0}, packet.subspan(start)));
  if (header.checksum_offset == 6) checksum = udp_checksum(checksum);
  store_be<uint16_t>(&packet[field], checksum);
  return true;
}

std::optional<Segmenter> Segmenter::create(const VnetHeader& header, BytesView packet) noexcept {
  const auto inner = parse_inner_packet(packet, /*length_in_header=*/false);
  if (!inner || header.segment_bytes == 0) return std::nullopt;
  const bool tcp = inner->protocol == kProtocolTcp;
  switch (header.gso) {
    case GsoKind::kNone:
      return std::nullopt;
    case GsoKind::kTcpIpv4:
      if (!tcp || !inner->ipv4) return std::nullopt;
      break;
    case GsoKind::kTcpIpv6:
      if (!tcp || inner->ipv4) return std::nullopt;
      break;
    case GsoKind::kUdp:
      if (tcp) return std::nullopt;
      break;
  }
  return Segmenter(*inner, packet, header.segment_bytes);
}

Segmenter::Segmenter(const InnerPacket& inner, BytesView packet, size_t step) noexcept
    : inner_(inner),
      payload_(packet.subspan(inner.header_bytes())),
      step_(step),
      count_(std::max<size_t>(1, (payload_.size() + step - 1) / step)) {
  copy_bytes(packet.first(inner.header_bytes()), headers_);
}

BytesView Segmenter::payload_of(size_t index) const noexcept {
  const size_t begin = std::min(index * step_, payload_.size());
  return payload_.subspan(begin, std::min(step_, payload_.size() - begin));
}

void Segmenter::write_segment(size_t index, MutableBytes out) const noexcept {
  copy_bytes(payload_of(index), out.subspan(inner_.header_bytes()));
  write_headers(index, out);
}

MutableBytes Segmenter::place_segment(size_t index, size_t padding, MutableBytes packet,
                                      Displaced& displaced) const noexcept {
  const MutableBytes segment = packet.subspan(index * step_, segment_bytes(index));
  const MutableBytes behind(segment.data() + segment.size(), padding);
  copy_bytes(segment.first(inner_.header_bytes()), displaced.front);
  copy_bytes(behind, displaced.back);
  write_headers(index, segment);
  std::fill(behind.begin(), behind.end(), uint8_t{0});
  return {segment.data(), segment.size() + padding};
}

void Segmenter::restore_segment(size_t index, size_t padding, MutableBytes packet,
                                const Displaced& displaced) const noexcept {
  const MutableBytes segment = packet.subspan(index * step_, segment_bytes(index));
  copy_bytes(BytesView(displaced.front).first(inner_.header_bytes()), segment);
  copy_bytes(BytesView(displaced.back).first(padding), {segment.data() + segment.size(), padding});
}

// The headers of segment `index` before its payload, which lies in `out` already.
void Segmenter::write_headers(size_t index, MutableBytes out) const noexcept {
  copy_bytes(BytesView(headers_).first(inner_.header_bytes()), out);
  const size_t transport_bytes = out.size() - inner_.ip_header_bytes;
  uint8_t* const ip = out.data();
  uint8_t* const transport = out.data() + inner_.ip_header_bytes;

  if (inner_.ipv4) {
    store_be<uint16_t>(ip + 2, static_cast<uint16_t>(out.size()));
    store_be<uint16_t>(ip + 4, static_cast<uint16_t>(load_be<uint16_t>(ip + 4) + index));
    store_be<uint16_t>(ip + 10, 0);
    store_be<uint16_t>(ip + 10, checksum_of(add_to_sum(PartialSum{0}, out.first(inner_.ip_header_bytes))));
  } else {
    store_be<uint16_t>(ip + 4, static_cast<uint16_t>(out.size() - inner_.ip_header_bytes));
  }

  const bool tcp = inner_.protocol == kProtocolTcp;
  if (tcp) {
    store_be<uint32_t>(transport + 4,
                       static_cast<uint32_t>(load_be<uint32_t>(transport + 4) + index * step_));
    if (index + 1 < count_) transport[13] &= static_cast<uint8_t>(~(kTcpFin | kTcpPush));
    if (index > 0) transport[13] &= static_cast<uint8_t>(~kTcpCwr);
  } else {
    store_be<uint16_t>(transport + 4, static_cast<uint16_t>(transport_bytes));
  }
  uint8_t* const field = transport + inner_.checksum_offset();
  store_be<uint16_t>(field, 0);
  PartialSum sum = pseudo_header_sum(inner_.addresses(out), inner_.protocol, transport_bytes);
  sum = add_to_sum(sum, BytesView(out.subspan(inner_.ip_header_bytes)));
  store_be<uint16_t>(field, tcp ? checksum_of(sum) : udp_checksum(checksum_of(sum)));
}

}  // namespace vpn::offload
