// Wire: the user-space engine. It carries Ethernet frames between pairs of TAP descriptors through the links'
// weather. What befalls a frame is decided by vpn::sim::LinkFates, so one seed and the same offered packets
// lose the same ones.
//
// A frame meets, in this order: the link being up, its fate (drop list, loss, burst), the MTU, the rate and
// its queue, corruption, delay; a duplicate follows with a delay of its own. Links without weather let the
// kernel hand over unsegmented frames; with weather every frame is as it would be on a cable.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "lab/error.h"
#include "lab/impair/impairment.h"
#include "lab/kernel/batch_io.h"
#include "lab/kernel/event_loop.h"
#include "lab/kernel/unique_fd.h"
#include "vpn/base/ip_address.h"

namespace lab {

using vpn::sim::Direction;

// What one direction of a link has done since the lab came up, in packets; bytes are of Ethernet frames.
struct LinkCounters {
  uint64_t offered = 0;
  uint64_t offered_bytes = 0;
  uint64_t delivered = 0;  // copies of duplicates included
  uint64_t delivered_bytes = 0;
  uint64_t dropped_by_list = 0;
  uint64_t lost = 0;
  uint64_t lost_in_burst = 0;
  uint64_t queue_full = 0;
  uint64_t too_long = 0;
  uint64_t link_down = 0;
  uint64_t refused = 0;  // by the receiving kernel: its queue was full or its interface down
  uint64_t duplicated = 0;
  uint64_t corrupted = 0;
  uint64_t held = 0;  // for reordering
};

class Wire : public Timed {
 public:
  struct LinkSetup {
    std::string name;
    std::array<UniqueFd, 2> taps;  // by end
    std::array<Impairment, 2> impairment;
  };

  // Told of each frame that is not simply carried: the link's name, what became of it ("loss", "burst",
  // "list", "queue", "mtu", "down", "refused"; "duplicated", "corrupted"), and the frame as it was sent.
  using Teller = std::function<void(const std::string& link, const char* what, vpn::BytesView frame)>;

  // `loop` must outlive the wire.
  Wire(EventLoop& loop, uint64_t seed);
  ~Wire() override;
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // Starts carrying the link's frames. Returns its number.
  [[nodiscard]] Result<size_t> add_link(LinkSetup setup);
  // Frames on their way keep the delay they were given.
  [[nodiscard]] Result<void> set_impairment(size_t link, Direction direction, const Impairment& impairment);
  // Of a link that is down, every frame is lost; those on their way still arrive.
  void set_up(size_t link, bool up);
  void tell_fates(Teller teller) { teller_ = std::move(teller); }
  [[nodiscard]] const LinkCounters& counters(size_t link, Direction direction) const;
  // Whether many frames share a system call.
  [[nodiscard]] bool is_batched() const { return io_.refusal().empty(); }

  [[nodiscard]] std::optional<SteadyTime> next_due() const override;
  void handle_due(SteadyTime now) override;

 private:
  // One frame as the TAP gave it, its virtio header in front. The memory is used again.
  struct Frame {
    std::unique_ptr<uint8_t[]> memory;
    size_t length = 0;  // header included
  };
  // One direction of a link.
  struct Lane;
  struct Flight {
    SteadyTime due;
    uint64_t sequence;  // ties keep their order
    Lane* lane;
    Frame frame;
  };
  struct Later {
    bool operator()(const Flight& a, const Flight& b) const {
      return a.due != b.due ? a.due > b.due : a.sequence > b.sequence;
    }
  };

  struct Delivery {
    Lane* lane;
    Frame frame;
  };

  void handle_readable(Lane& lane);
  // Reads up to `asked` frames and carries them. Returns how many there were.
  size_t carry_batch(Lane& lane, size_t asked);
  void carry(Lane& lane, Frame frame, SteadyTime now);
  // When the serialiser is done with a frame; nothing where its queue is full.
  static std::optional<SteadyTime> serialize(Lane& lane, size_t frame_bytes, SteadyTime now);
  // Rate, duplication, corruption and delay, of a frame that is not lost.
  void send_on(Lane& lane, Frame frame, const vpn::sim::Fate& fate, SteadyTime now);
  // What a router does: sends fragments on, or tells the sender; or nothing, where the weather has no ICMP.
  void refuse_too_long(Lane& lane, vpn::BytesView bytes, const vpn::sim::Fate& fate, SteadyTime now);
  [[nodiscard]] Frame copy_of(vpn::BytesView bytes);
  // Has the frame written by the next send_deliveries(), which ends every turn.
  void deliver(Lane& lane, Frame frame) { deliveries_.push_back({&lane, std::move(frame)}); }
  void send_deliveries();
  void launch(Lane& lane, SteadyTime due, Frame frame);
  [[nodiscard]] Frame take_frame();
  void give_back(Frame frame);
  void tell(const Lane& lane, const char* what, vpn::BytesView bytes) const;

  EventLoop& loop_;
  uint64_t seed_;
  std::vector<std::unique_ptr<Lane>> lanes_;  // two a link: 2·link + direction
  std::vector<Flight> flights_;               // a heap by Later
  std::vector<Frame> spare_frames_;
  BatchIo io_;
  std::vector<Transfer> transfers_;   // of the batch at hand
  std::vector<Frame> arrivals_;       // what it reads into
  std::vector<Delivery> deliveries_;  // in the order of writing
  uint64_t next_sequence_ = 0;
  Teller teller_;
};

}  // namespace lab
