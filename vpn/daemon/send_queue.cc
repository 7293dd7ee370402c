#include "vpn/daemon/send_queue.h"

#include "vpn/base/check.h"

namespace vpn::daemon {
namespace {

io::UdpPath to_path(const core::Endpoint& endpoint) noexcept {
  return {endpoint.remote, endpoint.local, endpoint.interface_index};
}

}  // namespace

SendQueue::SendQueue(UdpPair& sockets) : sockets_(sockets), arena_(kArenaBytes) {
  runs_.reserve(kMaxRuns);
}

void SendQueue::append(const core::Endpoint& to, uint8_t tos, size_t bytes) noexcept {
  const BytesView datagram = BytesView(arena_).subspan(used_, bytes);
  used_ += bytes;
  if (last_run_open_) {
    io::SendRun& last = runs_.back();
    const bool fits = bytes <= last.segment_bytes &&
                      last.bytes.size() + bytes <= io::UdpSocket::kLongestRun &&
                      last.bytes.size() / last.segment_bytes < io::UdpSocket::kMaxSegments;
    if (fits && last.tos == tos && last.path.remote == to.remote && last.path.local == to.local) {
      last.bytes = BytesView(last.bytes.data(), last.bytes.size() + bytes);
      last_run_open_ = bytes == last.segment_bytes;
      return;
    }
  }
  // Sending here instead could send what is queued but not sealed yet.
  VPN_CHECK(runs_.size() < kMaxRuns);
  runs_.push_back({to_path(to), tos, datagram, bytes});
  last_run_open_ = bytes > 0;
}

void SendQueue::flush() noexcept {
  if (!runs_.empty()) sockets_.send_batch(runs_);
  runs_.clear();
  used_ = 0;
  last_run_open_ = false;
}

}  // namespace vpn::daemon
