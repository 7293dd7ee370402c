// Inbound: the way of datagrams from the sockets to TUN, a received batch at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "vpn/base/unfilled_bytes.h"
#include "vpn/daemon/shared_node.h"
#include "vpn/io/tun_device.h"
#include "vpn/io/udp_socket.h"
#include "vpn/offload/coalescer.h"

namespace vpn::daemon {

class Inbound {
 public:
  // What the arguments refer to must outlive it. `aeads` belongs to this thread.
  Inbound(SharedNode& node, crypto::AeadSet& aeads, io::TunDevice& tun);

  // Receives what the socket has, at most a fair share, and writes the opened packets to TUN. True when the
  // socket may have more.
  bool run(io::UdpSocket& socket);

  // What it joins into super-packets: less when TUN turned out not to take them.
  [[nodiscard]] const offload::Coalescer::Options& joins() const noexcept { return coalescer_.options(); }
  // Packets that TUN did not take: the interface is down, or out of memory.
  [[nodiscard]] uint64_t refused_count() const noexcept { return refused_count_; }

 private:
  struct Opening {
    core::Endpoint from;
    uint8_t ecn = 0;
    size_t datagram_bytes = 0;
  };
  void take_run(const io::ReceivedRun& run);
  void take_datagram(const core::Endpoint& from, uint8_t ecn, MutableBytes datagram);
  [[nodiscard]] bool follow_session(SessionIndex index);
  void open_pending();
  void commit_opened();
  void write_out();
  void write_packet(const offload::VnetHeader& header, std::span<const MutableBytes> slices);
  size_t write_as_segments(const offload::VnetHeader& header, std::span<const MutableBytes> slices);

  SharedNode& node_;
  crypto::AeadSet& aeads_;
  io::TunDevice& tun_;
  offload::Coalescer coalescer_;
  // Data messages of one session that are not opened yet.
  std::shared_ptr<const core::Session> session_;
  std::vector<crypto::OpenJob> jobs_;
  std::vector<Opening> openings_;
  std::vector<MutableBytes> packets_;  // of them, what the node lets pass
  UnfilledBytes joined_;               // a refused super-packet, to be cut again
  uint64_t refused_count_ = 0;
};

}  // namespace vpn::daemon
