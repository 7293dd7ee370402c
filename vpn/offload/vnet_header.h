// The virtio_net_hdr that Linux puts before each packet of a TUN device opened with IFF_VNET_HDR: how large a
// packet's segments are to be, and where its checksum is still to be completed (Virtio 1.2 section 5.1.6).
#pragma once

#include <cstdint>
#include <optional>

#include "vpn/base/bytes.h"

namespace vpn::offload {

enum class GsoKind : uint8_t { kNone, kTcpIpv4, kTcpIpv6, kUdp };

struct VnetHeader {
  static constexpr size_t kBytes = 10;

  bool needs_checksum =
      false;  // the bytes from checksum_start on are still to be summed into checksum_offset
  GsoKind gso = GsoKind::kNone;
  uint16_t header_bytes = 0;     // of all headers of a super-packet; what arrives in it is not to be trusted
  uint16_t segment_bytes = 0;    // of each segment's payload
  uint16_t checksum_start = 0;   // from the IP header's first byte
  uint16_t checksum_offset = 0;  // from checksum_start

  // Host byte order, as a TUN device without TUNSETVNETLE has it. Empty for kinds that were never agreed on.
  [[nodiscard]] static std::optional<VnetHeader> decode(std::span<const uint8_t, kBytes> bytes) noexcept;
  void encode(std::span<uint8_t, kBytes> out) const noexcept;

  friend bool operator==(const VnetHeader&, const VnetHeader&) = default;
};

}  // namespace vpn::offload
