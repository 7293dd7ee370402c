// Coalescer: joins neighbouring packets of one TCP or UDP flow into super-packets for TUN (GRO in software),
// copying nothing: a super-packet is a list of slices of the packets it is made of.
//
// It joins only what the kernel's own receive offload would: equal addresses, ports, traffic class, TTL and
// DF, equal TCP options, window and acknowledgement, no flag but ACK and PSH (PSH ends a run), sequence
// numbers in a row, valid checksums, no IP options, no fragments; and only onto the newest packet of the
// flow, so a flow's order never changes.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "vpn/base/bytes.h"
#include "vpn/offload/inner_packet.h"
#include "vpn/offload/vnet_header.h"

namespace vpn::offload {

class Coalescer {
 public:
  struct Options {
    bool tcp = false;  // the TUN device takes TCP super-packets
    bool udp = false;  // and UDP ones
  };
  static constexpr size_t kMaxPackets = 512;       // between two flushes
  static constexpr size_t kMaxSuperSegments = 64;  // the least of the kernels' own limits (UDP)

  explicit Coalescer(const Options& options);

  void set_options(const Options& options) noexcept { options_ = options; }
  [[nodiscard]] const Options& options() const noexcept { return options_; }
  // True when flush() must come before the next add().
  [[nodiscard]] bool is_full() const noexcept { return slice_count_ == kMaxPackets; }
  // Takes one whole IP packet. Its bytes belong to the caller, who keeps them until flush(); the headers may
  // be changed.
  void add(MutableBytes packet) noexcept;

  // Hands every packet and super-packet to `sink(const VnetHeader&, std::span<const MutableBytes> slices)`,
  // flows in the order of their first packets, and forgets them.
  template <typename Sink>
  void flush(Sink&& sink) {
    std::array<MutableBytes, kMaxSuperSegments> slices;
    for (size_t index = 0; index < group_count_; ++index) {
      const VnetHeader header = finish(groups_[index]);
      size_t count = 0;
      for (uint16_t at = groups_[index].first_slice; at != kNone; at = slices_[at].next) {
        slices[count++] = slices_[at].bytes;
      }
      sink(header, std::span<const MutableBytes>(slices.data(), count));
    }
    group_count_ = 0;
    slice_count_ = 0;
  }

 private:
  static constexpr uint16_t kNone = 0xffff;

  struct Slice {
    MutableBytes bytes;
    uint16_t next = kNone;
  };
  struct Group {
    InnerPacket inner;  // of its first packet
    uint64_t flow = 0;  // a hash; 0: not a flow that can be joined
    bool open = false;  // may still grow
    uint16_t first_slice = kNone, last_slice = kNone;
    uint16_t packet_count = 0;
    uint16_t segment_bytes = 0;  // payload of every packet but the last
    size_t payload_bytes = 0;    // of all
  };

  [[nodiscard]] bool may_join(const InnerPacket& inner, BytesView packet) const noexcept;
  [[nodiscard]] Group* newest_of_flow(uint64_t flow, const InnerPacket& inner, BytesView packet) noexcept;
  [[nodiscard]] bool continues(const Group& group, const InnerPacket& inner, BytesView packet) const noexcept;
  void begin_group(const InnerPacket* inner, uint64_t flow, bool open, MutableBytes packet) noexcept;
  uint16_t add_slice(MutableBytes bytes) noexcept;
  [[nodiscard]] VnetHeader finish(const Group& group) noexcept;

  Options options_;
  std::vector<Slice> slices_;
  std::vector<Group> groups_;
  size_t slice_count_ = 0;
  size_t group_count_ = 0;
};

}  // namespace vpn::offload
