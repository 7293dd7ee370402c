// PeerRound: goes to all peers once, so many at a time, so that thousands of them do not hold up what else
// the loop has to do. Pure: time is handed in.
#pragma once

#include <algorithm>
#include <optional>

#include "vpn/base/ids.h"
#include "vpn/base/time.h"

namespace vpn::daemon {

class PeerRound {
 public:
  struct Limits {
    size_t at_once;
    Duration pause;  // between one part and the next
  };
  explicit PeerRound(Limits limits) noexcept : limits_(limits) {}

  // All `count` peers are to be gone to from now on. It goes on from where it is, so that nobody is left out
  // however often it begins anew.
  void begin(size_t count, Instant now) noexcept {
    left_ = count;
    if (!due_) due_ = now;
  }
  // When the next part is due; empty: the round is done.
  [[nodiscard]] std::optional<Instant> poll_timeout() const noexcept { return due_; }
  [[nodiscard]] bool take_due(Instant now) noexcept {
    if (!due_ || *due_ > now) return false;
    due_.reset();
    return true;
  }
  // Calls visit(key, value) for the next part of `peers`, an ordered map by key.
  template <typename Peers, typename Visit>
  void go_on(Peers& peers, Instant now, Visit visit) {
    auto at = last_ ? peers.upper_bound(*last_) : peers.begin();
    size_t count = std::min({left_, limits_.at_once, peers.size()});
    left_ = peers.empty() ? 0 : left_ - count;
    for (; count > 0; --count, ++at) {
      if (at == peers.end()) at = peers.begin();
      last_ = at->first;
      visit(at->first, at->second);
    }
    if (left_ > 0) due_ = now + limits_.pause;
  }

 private:
  Limits limits_;
  size_t left_ = 0;
  std::optional<PublicKey> last_;
  std::optional<Instant> due_;
};

}  // namespace vpn::daemon
