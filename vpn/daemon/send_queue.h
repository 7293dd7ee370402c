// SendQueue: datagrams on their way out, gathered into runs that one system call carries: equal in length,
// endpoint and traffic class. Nothing is allocated after its creation.
#pragma once

#include <cstdint>
#include <vector>

#include "vpn/core/node.h"
#include "vpn/daemon/udp_pair.h"

namespace vpn::daemon {

class SendQueue {
 public:
  static constexpr size_t kArenaBytes = size_t{512} * 1024;  // holds several super-packets' datagrams
  static constexpr size_t kMaxRuns = 256;

  // `sockets` must outlive the queue.
  explicit SendQueue(UdpPair& sockets);

  // Whether so many datagrams of together so many bytes may be appended before the next flush().
  [[nodiscard]] bool has_room(size_t datagrams, size_t bytes) const noexcept {
    return arena_.size() - used_ >= bytes && kMaxRuns - runs_.size() >= datagrams;
  }
  // The next `bytes` of the arena to write a datagram into, valid until flush(); has_room() has been asked.
  [[nodiscard]] MutableBytes reserve(size_t bytes) noexcept {
    return MutableBytes(arena_).subspan(used_, bytes);
  }
  // Queues the datagram written into the front of what reserve() gave.
  void append(const core::Endpoint& to, uint8_t tos, size_t bytes) noexcept;
  // Sends everything, in order.
  void flush() noexcept;

 private:
  UdpPair& sockets_;
  std::vector<uint8_t> arena_;
  size_t used_ = 0;
  std::vector<io::SendRun> runs_;
  bool last_run_open_ = false;
};

}  // namespace vpn::daemon
