// Outbound: the way of inner packets from TUN to the peers, a super-packet at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "vpn/base/unfilled_bytes.h"
#include "vpn/daemon/send_queue.h"
#include "vpn/daemon/shared_node.h"
#include "vpn/io/tun_device.h"
#include "vpn/offload/segmenter.h"
#include "vpn/wire/ip_packet.h"

namespace vpn::daemon {

class Outbound {
 public:
  // What the arguments refer to must outlive it. `aeads` belongs to this thread.
  Outbound(SharedNode& node, crypto::AeadSet& aeads, io::TunDevice& tun, SendQueue& queue);

  enum class Outcome : uint8_t { kDrained, kMore, kInterfaceGone };
  // Reads what TUN has, at most a fair share, and sends it sealed.
  [[nodiscard]] Outcome run();
  // Packets that TUN gave and that could not be understood.
  [[nodiscard]] uint64_t malformed_count() const noexcept { return malformed_count_; }

 private:
  // What packets to one peer were given: counters, the way there, and the traffic class they go in.
  struct Passage {
    core::Node::SealReservation reserved;
    uint8_t ecn = 0;
  };
  void take(const offload::VnetHeader& header, MutableBytes packet);
  void take_super_packet(const offload::Segmenter& segmenter, MutableBytes packet);
  template <typename SizeOf, typename Write>
  std::optional<Passage> begin(BytesView ip_header, size_t count, SizeOf size_of, Write write);
  MutableBytes queue_datagram(const Passage& passage, size_t index) noexcept;
  void seal_placed(const Passage& passage, const offload::Segmenter& segmenter, size_t first,
                   size_t count) noexcept;
  template <typename SizeOf, typename Write>
  void send(BytesView ip_header, size_t count, SizeOf size_of, Write write);
  template <typename SizeOf>
  Result<std::optional<core::Node::SealReservation>, core::Drop> reserve(const wire::IpPacket& ip,
                                                                         size_t count, SizeOf size_of);
  template <typename SizeOf, typename Write>
  void stage(size_t count, SizeOf size_of, Write write);
  void seal_pending() noexcept;
  void flush() noexcept;

  SharedNode& node_;
  crypto::AeadSet& aeads_;
  io::TunDevice& tun_;
  SendQueue& queue_;
  UnfilledBytes read_buffer_;
  UnfilledBytes staging_buffer_;
  // Datagrams in the queue that are not sealed yet, all under the keys of one session.
  std::shared_ptr<const core::Session> pending_session_;
  std::vector<crypto::SealJob> pending_;
  std::vector<size_t> sealed_bytes_;  // of the datagrams being made
  std::vector<MutableBytes> sealed_;  // of segments sealed from read_buffer_, where they go
  std::vector<offload::Segmenter::Displaced> displaced_;
  uint64_t malformed_count_ = 0;
};

}  // namespace vpn::daemon
