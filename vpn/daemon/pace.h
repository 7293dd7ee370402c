// Pace: when to do something that others can call for as often as they like. Pure: time is handed in.
#pragma once

#include <algorithm>
#include <optional>

#include "vpn/base/time.h"

namespace vpn::daemon {

class Pace {
 public:
  struct Limits {
    Duration delay;          // from the first call, so that one time serves a burst of them
    Duration pause;          // after each time
    Duration longest_pause;  // the pause doubles up to this while the calls do not cease
  };
  explicit Pace(Limits limits) noexcept : limits_(limits), pause_(limits.pause) {}

  // It is to be done, once for all calls until then.
  void call(Instant now) noexcept {
    if (!due_) due_ = std::max(now + limits_.delay, not_before_);
  }
  [[nodiscard]] std::optional<Instant> poll_timeout() const noexcept { return due_; }
  // Whether it is to be done now; true once for each time.
  [[nodiscard]] bool take_due(Instant now) noexcept {
    if (!due_ || *due_ > now) return false;
    due_.reset();
    return true;
  }
  // It was done, and had something to do. Who rested for as long again since the last pause begins anew.
  void note_done(Instant now) noexcept {
    const bool ceased = now >= not_before_ + pause_;
    pause_ = ceased ? limits_.pause : std::min(2 * pause_, limits_.longest_pause);
    not_before_ = now + pause_;
  }

 private:
  Limits limits_;
  Duration pause_;
  Instant not_before_{};
  std::optional<Instant> due_;
};

}  // namespace vpn::daemon
