// SendQueue: datagrams on their way out, gathered into runs that one system call carries: equal in length,
// endpoint and traffic class. Datagrams to several endpoints in turn become a run each. Nothing is allocated
// after its creation.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "vpn/base/unfilled_bytes.h"
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
    return arena_.size() - used_ >= bytes && kMaxRuns - runs_.size() >= datagrams &&
           kMaxStretches - stretches_.size() >= datagrams;
  }
  // The next `bytes` of the arena to write a datagram into, valid until flush(); has_room() has been asked.
  [[nodiscard]] MutableBytes reserve(size_t bytes) noexcept { return arena_.view().subspan(used_, bytes); }
  // Queues the datagram written into the front of what reserve() gave. Its bytes may still change until
  // flush().
  void append(const core::Endpoint& to, uint8_t tos, size_t bytes) noexcept;
  // Sends everything, the datagrams to one endpoint in order.
  void flush() noexcept;

 private:
  static constexpr size_t kMaxStretches = 1024;
  static constexpr size_t kFinderSlots = 512;
  static constexpr size_t kFinderTries = 4;
  static constexpr uint16_t kNone = UINT16_MAX;
  static_assert(kMaxRuns <= kMaxStretches && kMaxStretches < kNone);

  // A part of a run: datagrams one behind the other in the arena.
  struct Stretch {
    BytesView bytes;
    uint16_t next = kNone;  // of the same run
  };
  struct Run {
    io::SendRun send;  // its bytes are set by flush()
    size_t bytes = 0;
    uint16_t first = 0;  // stretches
    uint16_t last = 0;
    uint16_t slot = 0;  // of the finder, where this run was entered
    bool is_open = false;
  };

  // What the finder's slot says; null where that is of an earlier batch.
  [[nodiscard]] Run* at(size_t slot) noexcept;
  // The newest run to the endpoint, where it is still known.
  [[nodiscard]] Run* find(const core::Endpoint& to) noexcept;
  // Where to enter a new run to the endpoint: in the stead of its last, or where nothing is, or of another's.
  [[nodiscard]] size_t slot_for(const core::Endpoint& to) noexcept;
  [[nodiscard]] static bool takes(const Run& run, uint8_t tos, size_t bytes) noexcept;
  void extend(Run& run, BytesView datagram) noexcept;
  [[nodiscard]] BytesView joined(const Run& run) noexcept;

  UdpPair& sockets_;
  UnfilledBytes arena_{kArenaBytes};
  size_t used_ = 0;
  std::vector<Stretch> stretches_;
  std::vector<Run> runs_;
  std::vector<io::SendRun> to_send_;
  // At the slot of an endpoint's hash, or one of the next few, the run to it that was begun last. A slot is
  // believed only where the run says the same, so nothing is cleared between batches.
  std::array<uint16_t, kFinderSlots> finder_{};
  UnfilledBytes joined_{kArenaBytes};  // where the stretches of a run are put together
  size_t joined_bytes_ = 0;
};

}  // namespace vpn::daemon
