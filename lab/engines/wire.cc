#include "lab/engines/wire.h"

#include <algorithm>
#include <cerrno>
#include <random>
#include <thread>

#include "lab/impair/frame.h"
#include "lab/impair/icmp.h"
#include "lab/kernel/tap.h"

namespace lab {
namespace {

using vpn::MutableBytes;
using vpn::sim::LinkFates;
using vpn::sim::LossCause;

// The longest unsegmented frame, its Ethernet and virtio headers included.
constexpr size_t kFrameCapacity = 65536 + 64;
// Frames read from one descriptor before the others, and what is due, get their turn.
constexpr size_t kReadsPerTurn = 64;
// How many frames are asked for with one system call. Each that is not there costs a little; long ones are to
// be in the processor's cache still when they are written.
constexpr size_t kFewestReads = 4;
constexpr size_t kBatchBytes = size_t{256} * 1024;
// Threads that close interfaces at the end.
constexpr size_t kClosers = 16;
// On a cable a frame occupies its own bytes, preamble, checksum and gap; rates are meant without these, as
// netem's are.
constexpr uint64_t kBitsPerByte = 8;

const char* name_of(LossCause cause) {
  if (cause == LossCause::kDropList) return "list";
  return cause == LossCause::kBurst ? "burst" : "loss";
}

}  // namespace

struct Wire::Lane {
  Lane(uint64_t seed, std::string_view link, Direction direction)
      : name(link),
        fates(seed, link, direction),
        slot_gaps(vpn::sim::seed_of_direction(seed, link, direction)) {}

  std::string name;  // the link's
  int from = -1;     // descriptors; owned by the lanes' `tap`
  int to = -1;
  UniqueFd tap;  // of the end this direction starts from
  Impairment impairment;
  LinkFates fates;
  LinkCounters counters;
  size_t reads_at_once = kFewestReads;
  bool is_clear = true;
  bool up = true;
  SteadyTime serializer_free{};            // when the rate's serialiser has sent all it holds
  std::deque<SteadyTime> serializer_done;  // of each frame it holds
  SteadyTime slot_opens{};                 // when frames that wait for a slot go
  std::mt19937_64 slot_gaps;

  // Asks for twice as many frames at once where all that were asked for came, for half as many where not even
  // half did: so in a flood it asks for more than there are, and those come that are sent while it reads.
  void learn_from_batch(size_t asked, size_t got, size_t bytes) {
    size_t wanted = asked;
    if (got == asked) wanted = 2 * asked;
    if (got < asked / 2) wanted = asked / 2;
    const size_t fitting = got == 0 ? wanted : kBatchBytes * got / bytes;
    reads_at_once = std::clamp(std::min(wanted, fitting), kFewestReads, kReadsPerTurn);
  }

  // When a frame goes that is due at `due`, by the rule that netem has.
  SteadyTime after_slot(SteadyTime due) {
    if (impairment.slot_max == Duration{}) return due;
    if (slot_opens < due) {
      std::uniform_int_distribution<int64_t> gap(impairment.slot_min.count(), impairment.slot_max.count());
      slot_opens = due + Duration(gap(slot_gaps));
    }
    return slot_opens;
  }
};

Wire::Wire(EventLoop& loop, uint64_t seed) : loop_(loop), seed_(seed) {
  loop_.add(*this);
}

Wire::~Wire() {
  for (const auto& lane : lanes_) loop_.unwatch(lane->from);
  // The kernel takes tens of milliseconds to forget an interface, most of them waiting: many can wait at a
  // time.
  std::vector<std::thread> closers;
  for (size_t first = 0; first < kClosers && first < lanes_.size(); ++first) {
    closers.emplace_back([this, first] {
      for (size_t i = first; i < lanes_.size(); i += kClosers) lanes_[i]->tap.reset();
    });
  }
  for (std::thread& closer : closers) closer.join();
}

Result<size_t> Wire::add_link(LinkSetup setup) {
  const size_t link = lanes_.size() / 2;
  for (const Direction direction : {Direction::kForward, Direction::kBackward}) {
    const auto end = static_cast<size_t>(direction);
    auto lane = std::make_unique<Lane>(seed_, setup.name, direction);
    lane->from = setup.taps[end].get();
    lane->to = setup.taps[1 - end].get();
    lanes_.push_back(std::move(lane));
  }
  for (const Direction direction : {Direction::kForward, Direction::kBackward}) {
    const auto end = static_cast<size_t>(direction);
    Lane& lane = *lanes_[2 * link + end];
    lane.tap = std::move(setup.taps[end]);
    if (auto set = set_impairment(link, direction, setup.impairment[end]); !set) return fail(set.error());
    loop_.watch(lane.from, [this, &lane] { handle_readable(lane); });
  }
  return link;
}

Result<void> Wire::set_impairment(size_t link, Direction direction, const Impairment& impairment) {
  Lane& lane = *lanes_[2 * link + static_cast<size_t>(direction)];
  if (auto set = set_tap_offload(lane.tap, impairment.is_clear()); !set) return set;
  lane.impairment = impairment;
  lane.is_clear = impairment.is_clear();
  return {};
}

void Wire::set_up(size_t link, bool up) {
  lanes_[2 * link]->up = up;
  lanes_[2 * link + 1]->up = up;
}

const LinkCounters& Wire::counters(size_t link, Direction direction) const {
  return lanes_[2 * link + static_cast<size_t>(direction)]->counters;
}

std::optional<SteadyTime> Wire::next_due() const {
  if (flights_.empty()) return std::nullopt;
  return flights_.front().due;
}

void Wire::handle_due(SteadyTime now) {
  while (!flights_.empty() && flights_.front().due <= now) {
    std::pop_heap(flights_.begin(), flights_.end(), Later{});
    Flight flight = std::move(flights_.back());
    flights_.pop_back();
    deliver(*flight.lane, std::move(flight.frame));
  }
  send_deliveries();
}

void Wire::handle_readable(Lane& lane) {
  for (size_t left = kReadsPerTurn; left > 0;) {
    const size_t asked = std::min({lane.reads_at_once, left, io_.most_at_once()});
    if (carry_batch(lane, asked) < asked) return;
    left -= asked;
  }
}

size_t Wire::carry_batch(Lane& lane, size_t asked) {
  transfers_.clear();
  for (size_t i = 0; i < asked; ++i) {
    arrivals_.push_back(take_frame());
    transfers_.push_back({lane.from, arrivals_.back().memory.get(), kFrameCapacity});
  }
  io_.read(transfers_);
  // Each batch's own time, when all of it had been sent: with one for the whole turn, what was sent during
  // the turn would come early by as much.
  const SteadyTime now = std::chrono::steady_clock::now();
  size_t got = 0;
  size_t bytes = 0;
  for (size_t i = 0; i < asked; ++i) {
    const ssize_t length = transfers_[i].result;
    if (length <= static_cast<ssize_t>(kVirtioHeaderBytes + kEthernetHeaderBytes)) {
      give_back(std::move(arrivals_[i]));  // EAGAIN; a TAP gives no shorter frames
      continue;
    }
    ++got;
    bytes += static_cast<size_t>(length);
    arrivals_[i].length = static_cast<size_t>(length);
    carry(lane, std::move(arrivals_[i]), now);
  }
  arrivals_.clear();
  send_deliveries();
  lane.learn_from_batch(asked, got, bytes);
  return got;
}

void Wire::carry(Lane& lane, Frame frame, SteadyTime now) {
  const MutableBytes bytes(frame.memory.get() + kVirtioHeaderBytes, frame.length - kVirtioHeaderBytes);
  const VirtioHeader virtio = load_virtio_header(frame.memory.get());
  const uint64_t packet_count = segment_count(virtio, bytes.size());
  const auto message = vpn::sim::classify_frame(bytes);
  LinkCounters& counters = lane.counters;
  counters.offered += packet_count;
  counters.offered_bytes += bytes.size();
  // Asked before anything may refuse the frame, so that the count does not depend on it.
  vpn::sim::Fate fate;
  if (lane.is_clear) {
    lane.fates.pass(message, packet_count);
  } else {
    fate = lane.fates.next(lane.impairment, message).fate;
  }
  if (!lane.up) {
    counters.link_down += packet_count;
    tell(lane, "down", bytes);
    return give_back(std::move(frame));
  }
  if (lane.is_clear) return deliver(lane, std::move(frame));
  if (fate.is_lost()) {
    counters.dropped_by_list += fate.loss == LossCause::kDropList;
    counters.lost += fate.loss == LossCause::kLoss;
    counters.lost_in_burst += fate.loss == LossCause::kBurst;
    tell(lane, name_of(fate.loss), bytes);
    return give_back(std::move(frame));
  }
  if (lane.impairment.mtu_bytes > 0 && ip_packet_bytes(bytes) > lane.impairment.mtu_bytes) {
    refuse_too_long(lane, bytes, fate, now);
    return give_back(std::move(frame));
  }
  send_on(lane, std::move(frame), fate, now);
}

void Wire::send_on(Lane& lane, Frame frame, const vpn::sim::Fate& fate, SteadyTime now) {
  LinkCounters& counters = lane.counters;
  const MutableBytes bytes(frame.memory.get() + kVirtioHeaderBytes, frame.length - kVirtioHeaderBytes);
  const auto sent = serialize(lane, bytes.size(), now);
  if (!sent) {
    ++counters.queue_full;
    tell(lane, "queue", bytes);
    return give_back(std::move(frame));
  }
  counters.held += fate.held;
  if (fate.duplicate_delay) {
    ++counters.duplicated;
    tell(lane, "duplicated", bytes);
    launch(lane, lane.after_slot(*sent + *fate.duplicate_delay), copy_of({frame.memory.get(), frame.length}));
  }
  if (fate.corrupt) {
    ++counters.corrupted;
    tell(lane, "corrupted", bytes);
    const VirtioHeader virtio = load_virtio_header(frame.memory.get());
    corrupt_frame(*fate.corrupt, bytes, (virtio.flags & VirtioHeader::kChecksumPending) != 0);
  }
  launch(lane, lane.after_slot(*sent + fate.delay), std::move(frame));
}

void Wire::refuse_too_long(Lane& lane, vpn::BytesView bytes, const vpn::sim::Fate& fate, SteadyTime now) {
  ++lane.counters.too_long;
  tell(lane, "mtu", bytes);
  if (!lane.impairment.icmp) return;
  constexpr std::array<uint8_t, kVirtioHeaderBytes> kNoOffload{};
  const auto framed = [&](const std::vector<uint8_t>& inner) {
    std::vector<uint8_t> outer(kNoOffload.begin(), kNoOffload.end());
    outer.insert(outer.end(), inner.begin(), inner.end());
    return outer;
  };
  for (const auto& fragment : fragments_of(bytes, lane.impairment.mtu_bytes)) {
    send_on(lane, copy_of(framed(fragment)), fate, now);
  }
  const std::vector<uint8_t> answer = too_big_answer(bytes, lane.impairment.mtu_bytes);
  if (answer.empty()) return;
  const std::vector<uint8_t> frame = framed(answer);
  (void)!::write(lane.from, frame.data(), frame.size());  // where it does not fit, it is lost, as ICMP may be
}

Wire::Frame Wire::copy_of(vpn::BytesView bytes) {
  Frame copy = take_frame();  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): the caller has it
  std::memcpy(copy.memory.get(), bytes.data(), bytes.size());
  copy.length = bytes.size();
  return copy;
}

std::optional<SteadyTime> Wire::serialize(Lane& lane, size_t frame_bytes, SteadyTime now) {
  if (lane.impairment.rate_bits_per_second == 0) return now;
  auto& done = lane.serializer_done;
  while (!done.empty() && done.front() <= now) done.pop_front();
  if (done.size() >= lane.impairment.queue_packets) return std::nullopt;
  const auto bits = static_cast<double>(frame_bytes * kBitsPerByte);
  const auto takes =
      Duration(static_cast<int64_t>(bits * 1e9 / static_cast<double>(lane.impairment.rate_bits_per_second)));
  lane.serializer_free = std::max(lane.serializer_free, now) + takes;
  done.push_back(lane.serializer_free);
  return lane.serializer_free;
}

void Wire::launch(Lane& lane, SteadyTime due, Frame frame) {
  flights_.push_back({due, next_sequence_++, &lane, std::move(frame)});
  std::push_heap(flights_.begin(), flights_.end(), Later{});
}

void Wire::send_deliveries() {
  transfers_.clear();
  for (const Delivery& one : deliveries_)
    transfers_.push_back({one.lane->to, one.frame.memory.get(), one.frame.length});
  io_.write(transfers_);
  for (size_t i = 0; i < deliveries_.size(); ++i) {
    auto& [lane, frame] = deliveries_[i];
    const size_t bytes = frame.length - kVirtioHeaderBytes;
    const uint64_t packet_count = segment_count(load_virtio_header(frame.memory.get()), bytes);
    if (transfers_[i].result == static_cast<ssize_t>(frame.length)) {
      lane->counters.delivered += packet_count;
      lane->counters.delivered_bytes += bytes;
    } else {
      lane->counters.refused += packet_count;
      tell(*lane, "refused", {frame.memory.get() + kVirtioHeaderBytes, bytes});
    }
    give_back(std::move(frame));
  }
  deliveries_.clear();
}

Wire::Frame Wire::take_frame() {
  if (spare_frames_.empty()) return {std::make_unique_for_overwrite<uint8_t[]>(kFrameCapacity), 0};
  Frame frame = std::move(spare_frames_.back());
  spare_frames_.pop_back();
  return frame;
}

void Wire::tell(const Lane& lane, const char* what, vpn::BytesView bytes) const {
  if (teller_) teller_(lane.name, what, bytes);
}

void Wire::give_back(Frame frame) {
  spare_frames_.push_back(std::move(frame));
}

}  // namespace lab
