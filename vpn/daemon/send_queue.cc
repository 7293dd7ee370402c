#include "vpn/daemon/send_queue.h"

#include "vpn/base/check.h"

namespace vpn::daemon {
namespace {

io::UdpPath to_path(const core::Endpoint& endpoint) noexcept {
  return {endpoint.remote, endpoint.local, endpoint.interface_index};
}

bool is_to(const io::UdpPath& path, const core::Endpoint& to) noexcept {
  return path.remote == to.remote && path.local == to.local;
}

size_t hash_of(const UdpAddress& address) noexcept {
  size_t hash = address.port;
  for (const uint8_t byte : address.address.bytes()) hash = hash * 31 + byte;
  return hash;
}

}  // namespace

SendQueue::SendQueue(UdpPair& sockets) : sockets_(sockets) {
  stretches_.reserve(kMaxStretches);
  runs_.reserve(kMaxRuns);
  to_send_.reserve(kMaxRuns);
}

SendQueue::Run* SendQueue::at(size_t slot) noexcept {
  const size_t index = finder_[slot];
  return index < runs_.size() && runs_[index].slot == slot ? &runs_[index] : nullptr;
}

SendQueue::Run* SendQueue::find(const core::Endpoint& to) noexcept {
  if (runs_.empty()) return nullptr;
  if (is_to(runs_.back().send.path, to)) return &runs_.back();
  const size_t home = hash_of(to.remote);
  for (size_t step = 0; step < kFinderTries; ++step) {
    Run* const run = at((home + step) % kFinderSlots);
    if (run == nullptr) return nullptr;
    if (is_to(run->send.path, to)) return run;
  }
  return nullptr;
}

size_t SendQueue::slot_for(const core::Endpoint& to) noexcept {
  const size_t home = hash_of(to.remote);
  for (size_t step = 0; step < kFinderTries; ++step) {
    const size_t slot = (home + step) % kFinderSlots;
    if (const Run* const run = at(slot); run == nullptr || is_to(run->send.path, to)) return slot;
  }
  return home % kFinderSlots;
}

bool SendQueue::takes(const Run& run, uint8_t tos, size_t bytes) noexcept {
  const size_t segment = run.send.segment_bytes;
  return run.is_open && run.send.tos == tos && bytes <= segment &&
         run.bytes + bytes <= io::UdpSocket::kLongestRun && run.bytes / segment < io::UdpSocket::kMaxSegments;
}

void SendQueue::extend(Run& run, BytesView datagram) noexcept {
  Stretch& last = stretches_[run.last];
  if (last.bytes.data() + last.bytes.size() == datagram.data()) {
    last.bytes = BytesView(last.bytes.data(), last.bytes.size() + datagram.size());
  } else {
    last.next = static_cast<uint16_t>(stretches_.size());
    run.last = last.next;
    stretches_.push_back({datagram});
  }
  run.bytes += datagram.size();
  run.is_open = datagram.size() == run.send.segment_bytes;
}

void SendQueue::append(const core::Endpoint& to, uint8_t tos, size_t bytes) noexcept {
  const BytesView datagram = BytesView(arena_.view()).subspan(used_, bytes);
  used_ += bytes;
  if (Run* const run = find(to); run != nullptr && takes(*run, tos, bytes)) return extend(*run, datagram);
  // Sending here instead could send what is queued but not sealed yet.
  VPN_CHECK(runs_.size() < kMaxRuns && stretches_.size() < kMaxStretches);
  const auto slot = static_cast<uint16_t>(slot_for(to));
  finder_[slot] = static_cast<uint16_t>(runs_.size());
  const auto stretch = static_cast<uint16_t>(stretches_.size());
  stretches_.push_back({datagram});
  runs_.push_back({{to_path(to), tos, {}, bytes}, bytes, stretch, stretch, slot, bytes > 0});
}

BytesView SendQueue::joined(const Run& run) noexcept {
  if (run.first == run.last) return stretches_[run.first].bytes;
  const size_t begin = joined_bytes_;
  for (uint16_t index = run.first; index != kNone; index = stretches_[index].next) {
    const BytesView stretch = stretches_[index].bytes;
    copy_bytes(stretch, joined_.view().subspan(joined_bytes_));
    joined_bytes_ += stretch.size();
  }
  return BytesView(joined_.data() + begin, run.bytes);
}

void SendQueue::flush() noexcept {
  for (Run& run : runs_) {
    run.send.bytes = joined(run);
    to_send_.push_back(run.send);
  }
  if (!to_send_.empty()) sockets_.send_batch(to_send_);
  to_send_.clear();
  runs_.clear();
  stretches_.clear();
  used_ = 0;
  joined_bytes_ = 0;
}

}  // namespace vpn::daemon
