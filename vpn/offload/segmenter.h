// Segmenter: cuts a super-packet from TUN into the packets it stands for (TSO and USO in software), writing
// each where the caller wants it; and completes the checksum of a packet that is no super-packet.
#pragma once

#include <cstdint>
#include <optional>

#include "vpn/base/bytes.h"
#include "vpn/offload/inner_packet.h"
#include "vpn/offload/vnet_header.h"

namespace vpn::offload {

// Sums the bytes the vnet header left open. False when its offsets lie outside of the packet.
[[nodiscard]] bool complete_checksum(const VnetHeader& header, MutableBytes packet) noexcept;

class Segmenter {
 public:
  // `packet` must stay as it is while segments are written. Empty when the vnet header does not describe what
  // the packet is: such a packet is to be dropped. hdr_len is not believed; the headers are parsed.
  [[nodiscard]] static std::optional<Segmenter> create(const VnetHeader& header, BytesView packet) noexcept;

  [[nodiscard]] size_t segment_count() const noexcept { return count_; }
  // Headers and payload of segment `index`.
  [[nodiscard]] size_t segment_bytes(size_t index) const noexcept {
    return inner_.header_bytes() + payload_of(index).size();
  }
  // Headers and payload of all.
  [[nodiscard]] size_t total_bytes() const noexcept {
    return count_ * inner_.header_bytes() + payload_.size();
  }
  // Writes segment `index` into `out`, segment_bytes(index) long, with right lengths, identification,
  // sequence number, flags and checksums.
  void write_segment(size_t index, MutableBytes out) const noexcept;

 private:
  Segmenter(const InnerPacket& inner, BytesView packet, size_t step) noexcept;
  [[nodiscard]] BytesView payload_of(size_t index) const noexcept;

  InnerPacket inner_;
  BytesView packet_;
  BytesView payload_;
  size_t step_;  // payload bytes a segment
  size_t count_;
};

}  // namespace vpn::offload
