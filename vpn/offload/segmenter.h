// Segmenter: cuts a super-packet from TUN into the packets it stands for (TSO and USO in software), writing
// each where the caller wants it, or making each where its payload lies, to be sealed from there without a
// copy; and completes the checksum of a packet that is no super-packet.
#pragma once

#include <array>
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
  // The payload in `packet` must stay as it is while segments are made. Empty when the vnet header does not
  // describe what the packet is: such a packet is to be dropped. hdr_len is not believed; the headers are
  // parsed.
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

  static constexpr size_t kMostHeaders = 120;  // IPv4 and TCP, each with all the options there can be
  static constexpr size_t kMostPadding = 15;
  // What was where a placed segment's headers and padding are now.
  struct Displaced {
    std::array<uint8_t, kMostHeaders> front;
    std::array<uint8_t, kMostPadding> back;
  };
  // Whether every second segment can be placed at a time: the payload between two has room for the headers of
  // the one and the padding of the other.
  [[nodiscard]] bool can_place() const noexcept { return step_ >= inner_.header_bytes() + kMostPadding; }
  // Makes segment `index` where its payload lies: the same bytes as of write_segment(), and `padding` zeros
  // (at most kMostPadding) after them, which the result includes. `packet` is what create() was given, with
  // kMostPadding bytes of room after it. Its neighbours are spoiled until restore_segment().
  [[nodiscard]] MutableBytes place_segment(size_t index, size_t padding, MutableBytes packet,
                                           Displaced& displaced) const noexcept;
  // Puts back what place_segment() of the same arguments displaced.
  void restore_segment(size_t index, size_t padding, MutableBytes packet,
                       const Displaced& displaced) const noexcept;

 private:
  Segmenter(const InnerPacket& inner, BytesView packet, size_t step) noexcept;
  [[nodiscard]] BytesView payload_of(size_t index) const noexcept;
  void write_headers(size_t index, MutableBytes out) const noexcept;

  InnerPacket inner_;
  std::array<uint8_t, kMostHeaders> headers_;  // as they came
  BytesView payload_;
  size_t step_;  // payload bytes a segment
  size_t count_;
};

}  // namespace vpn::offload
