// Liveness: when a peer that nothing comes from is to be asked whether it is there. Pure: time is handed in.
//
// A keepalive is never answered, so that two idle ends hear nothing from each other and neither finds out
// that the other has gone, or that only one direction works. Data is answered: a ping by the peer's host at
// once, and whatever it is, by every WireGuard peer within KEEPALIVE_TIMEOUT (10 s). So a peer with
// PersistentKeepalive from which nothing authentic has come for one to two steps is sent a ping inside the
// tunnel. What comes of it is the protocol's: data unanswered for 15 s means silence. Two steps and that are
// less than 25 s. While something comes, nothing is sent; to a peer that stays silent the steps double after
// the first three questions, up to kLongestLivenessStep, for ever.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "vpn/base/time.h"

namespace vpn::daemon {

inline constexpr Duration kLivenessStep = std::chrono::milliseconds(4500);
inline constexpr Duration kLongestLivenessStep = std::chrono::seconds(300);

class Liveness {
 public:
  // When handle_timeout() is due; the past: at once.
  [[nodiscard]] Instant poll_timeout() const noexcept { return due_; }
  // `received_bytes`: all that was authentic so far. True: the peer is to be asked now.
  [[nodiscard]] bool handle_timeout(uint64_t received_bytes, Instant now) noexcept {
    if (now < due_) return false;
    if (std::exchange(received_bytes_, received_bytes) != received_bytes) {
      asked_in_vain_ = 0;
      due_ = now + kLivenessStep;
      return false;
    }
    constexpr unsigned kAtTheSamePace = 3;
    constexpr unsigned kMostDoublings = 7;  // 4.5 s grown past the longest step
    const unsigned beyond = asked_in_vain_ < kAtTheSamePace ? 0 : asked_in_vain_ - kAtTheSamePace + 1;
    due_ = now + std::min(kLivenessStep * (1 << std::min(beyond, kMostDoublings)), kLongestLivenessStep);
    ++asked_in_vain_;
    return true;
  }

 private:
  uint64_t received_bytes_ = 0;
  unsigned asked_in_vain_ = 0;
  Instant due_{};
};

}  // namespace vpn::daemon
