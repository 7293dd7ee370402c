#include "lab/impair/frame.h"

#include <algorithm>

#include "vpn/base/endian.h"
#include "vpn/sim/fate.h"

namespace lab {
namespace {

constexpr size_t kUdpHeaderBytes = 8;
constexpr size_t kUdpChecksumOffset = 6;

// The checksum of a datagram of which one 16-bit word changed (RFC 1624, equation 3).
uint16_t updated_checksum(uint16_t checksum, uint16_t before, uint16_t after) {
  uint32_t sum =
      static_cast<uint16_t>(~checksum) + static_cast<uint32_t>(static_cast<uint16_t>(~before)) + after;
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  const auto result = static_cast<uint16_t>(~sum);
  return result == 0 ? uint16_t{0xFFFF} : result;  // 0 would mean that there is none
}

}  // namespace

size_t ip_packet_bytes(vpn::BytesView frame) {
  if (frame.size() < kEthernetHeaderBytes) return 0;
  const auto type = vpn::load_be<uint16_t>(frame.data() + 12);
  return type == 0x0800 || type == 0x86DD ? frame.size() - kEthernetHeaderBytes : 0;
}

VirtioHeader load_virtio_header(const uint8_t* from) {
  VirtioHeader header;
  std::memcpy(&header, from, sizeof header);
  return header;
}

uint64_t segment_count(const VirtioHeader& header, size_t frame_bytes) {
  if (header.gso_type == 0 || header.segment_bytes == 0) return 1;
  const size_t headers = std::min<size_t>(header.header_bytes, frame_bytes);
  return std::max<uint64_t>(1, (frame_bytes - headers + header.segment_bytes - 1) / header.segment_bytes);
}

void corrupt_frame(uint32_t draw, vpn::MutableBytes frame, bool checksum_pending) {
  const auto payload = vpn::sim::find_udp_payload(frame);
  if (!payload || payload->length == 0) {
    if (frame.size() > kEthernetHeaderBytes)
      vpn::sim::corrupt_bytes(draw, frame.subspan(kEthernetHeaderBytes));
    return;
  }
  const vpn::MutableBytes bytes = frame.subspan(payload->offset, payload->length);
  const auto bit = vpn::sim::corrupt_bit(draw, bytes.size());
  // The 16-bit word of the datagram that holds the bit; the last one may be half padding.
  const size_t word = static_cast<size_t>(bit / 8) & ~size_t{1};
  const auto word_value = [&] {
    const unsigned low = word + 1 < bytes.size() ? bytes[word + 1] : 0U;
    return static_cast<uint16_t>(unsigned{bytes[word]} << 8 | low);
  };
  const uint16_t before = word_value();
  vpn::sim::corrupt_bytes(draw, bytes);
  uint8_t* const checksum = frame.data() + payload->offset - kUdpHeaderBytes + kUdpChecksumOffset;
  const auto old_checksum = vpn::load_be<uint16_t>(checksum);
  if (checksum_pending || old_checksum == 0) return;
  vpn::store_be<uint16_t>(checksum, updated_checksum(old_checksum, before, word_value()));
}

}  // namespace lab
