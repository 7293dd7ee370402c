#include "vpn/offload/vnet_header.h"

#include <cstring>

namespace vpn::offload {
namespace {

constexpr uint8_t kNeedsChecksum = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM
constexpr uint8_t kGsoNone = 0;
constexpr uint8_t kGsoTcpIpv4 = 1;
constexpr uint8_t kGsoTcpIpv6 = 4;
constexpr uint8_t kGsoUdpL4 = 5;
constexpr uint8_t kGsoEcn =
    0x80;  // a flag beside the kind: the flow negotiated ECN; segments keep CWR on the first alone

uint16_t load(const uint8_t* from) noexcept {
  uint16_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
void store(uint8_t* to, uint16_t value) noexcept {
  std::memcpy(to, &value, sizeof value);
}

}  // namespace

std::optional<VnetHeader> VnetHeader::decode(std::span<const uint8_t, kBytes> bytes) noexcept {
  VnetHeader header;
  header.needs_checksum = (bytes[0] & kNeedsChecksum) != 0;
  switch (bytes[1] & ~kGsoEcn) {
    case kGsoNone:
      header.gso = GsoKind::kNone;
      break;
    case kGsoTcpIpv4:
      header.gso = GsoKind::kTcpIpv4;
      break;
    case kGsoTcpIpv6:
      header.gso = GsoKind::kTcpIpv6;
      break;
    case kGsoUdpL4:
      header.gso = GsoKind::kUdp;
      break;
    default:
      return std::nullopt;
  }
  header.header_bytes = load(&bytes[2]);
  header.segment_bytes = load(&bytes[4]);
  header.checksum_start = load(&bytes[6]);
  header.checksum_offset = load(&bytes[8]);
  return header;
}

void VnetHeader::encode(std::span<uint8_t, kBytes> out) const noexcept {
  constexpr uint8_t kKinds[] = {kGsoNone, kGsoTcpIpv4, kGsoTcpIpv6, kGsoUdpL4};
  out[0] = needs_checksum ? kNeedsChecksum : 0;
  out[1] = kKinds[static_cast<size_t>(gso)];
  store(&out[2], header_bytes);
  store(&out[4], segment_bytes);
  store(&out[6], checksum_start);
  store(&out[8], checksum_offset);
}

}  // namespace vpn::offload
