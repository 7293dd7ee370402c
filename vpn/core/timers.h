// The timers of a peer, and the queue that finds the peer whose timer is due next.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "vpn/base/time.h"

namespace vpn::core {

struct Peer;

enum class Timer : uint8_t {
  kRetransmitHandshake,  // no response to our initiation
  kSendKeepalive,        // data received, nothing sent since
  kNoAnswer,             // data sent, nothing received since
  kEraseKeys,            // no new session for 3 × REJECT_AFTER_TIME
  kPersistentKeepalive,  // the configured interval
};
inline constexpr size_t kTimerCount = 5;

// When each timer of one peer fires; Instant::max() for those that do not run.
class TimerTable {
 public:
  TimerTable() noexcept { deadlines_.fill(Instant::max()); }

  void arm(Timer timer, Instant at) noexcept { deadlines_[static_cast<size_t>(timer)] = at; }
  void cancel(Timer timer) noexcept { arm(timer, Instant::max()); }
  void cancel_all() noexcept { deadlines_.fill(Instant::max()); }
  [[nodiscard]] bool is_armed(Timer timer) const noexcept { return at(timer) != Instant::max(); }
  [[nodiscard]] Instant at(Timer timer) const noexcept { return deadlines_[static_cast<size_t>(timer)]; }
  // The first deadline; Instant::max() where no timer is armed.
  [[nodiscard]] Instant earliest() const noexcept;
  // The first timer that is due, cancelled in the same step.
  [[nodiscard]] std::optional<Timer> take_due(Instant now) noexcept;

 private:
  std::array<Instant, kTimerCount> deadlines_;
};

// A binary heap over peers that know their place in it. A peer's key is a lower bound of its earliest
// deadline: most changes move deadlines later, and those are left to be found out when the key comes up.
class TimerQueue {
 public:
  struct Entry {
    Peer* owner = nullptr;
    Instant key = Instant::max();
    size_t position = kAbsent;
  };
  static constexpr size_t kAbsent = SIZE_MAX;

  // Makes sure the entry's owner comes up at `at` or earlier. `entry` lives in the owner and must not move
  // while queued.
  void schedule(Entry& entry, Instant at);
  void remove(Entry& entry) noexcept;
  // The entry with the least key, or null.
  [[nodiscard]] Entry* top() const noexcept { return heap_.empty() ? nullptr : heap_.front(); }

 private:
  void place(size_t position, Entry* entry) noexcept;
  void sift_up(size_t position) noexcept;
  void sift_down(size_t position) noexcept;

  std::vector<Entry*> heap_;
};

}  // namespace vpn::core
