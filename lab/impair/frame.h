// What the wire does to the inside of an Ethernet frame.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vpn/base/bytes.h"

namespace lab {

inline constexpr size_t kEthernetHeaderBytes = 14;

// The header that the kernel puts in front of each frame (struct virtio_net_hdr, in the machine's own byte
// order; its C header cannot be read by a C++ compiler).
struct VirtioHeader {
  uint8_t flags = 0;     // kChecksumPending
  uint8_t gso_type = 0;  // 0: one packet
  uint16_t header_bytes = 0;
  uint16_t segment_bytes = 0;
  uint16_t checksum_start = 0;
  uint16_t checksum_offset = 0;

  static constexpr uint8_t kChecksumPending = 1;
};
inline constexpr size_t kVirtioHeaderBytes = sizeof(VirtioHeader);
static_assert(kVirtioHeaderBytes == 10);
// Reads the kVirtioHeaderBytes at `from`, which need not be aligned.
[[nodiscard]] VirtioHeader load_virtio_header(const uint8_t* from);

// The length of the IP packet in an Ethernet frame: what an MTU is compared with. 0 where it carries no IP.
[[nodiscard]] size_t ip_packet_bytes(vpn::BytesView frame);

// How many packets an unsegmented frame stands for: at least 1.
[[nodiscard]] uint64_t segment_count(const VirtioHeader& header, size_t frame_bytes);

// Inverts one bit (see vpn::sim::corrupt_bit) of the frame's UDP payload and mends the UDP checksum, so that
// the receiver sees the damage; where there is no UDP payload, one bit after the Ethernet header.
// `checksum_pending` says that the receiving kernel still fills the checksum in.
void corrupt_frame(uint32_t draw, vpn::MutableBytes frame, bool checksum_pending);

}  // namespace lab
