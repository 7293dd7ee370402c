// PathMtu: which packets get through the tunnel to one peer, by asking. Pure: time and answers are handed in.
//
// While there is traffic, a packet of the size in use and a short one are sent every kPathCheckStep. Where
// the short one is answered and the long one is not, twice, the path has become a black hole: the sizes below
// are asked for together, and the largest answered one is used from then on. kPathRaiseStep later all sizes
// are asked for again. Silence alone proves nothing, and no ICMP of the outer network is believed (RFC 8899).
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "vpn/base/time.h"

namespace vpn::daemon {

inline constexpr Duration kPathCheckStep = std::chrono::seconds(3);
inline constexpr Duration kPathAnswerTime = std::chrono::seconds(1);
inline constexpr Duration kPathRaiseStep = std::chrono::seconds(600);

class PathMtu {
 public:
  // `ceiling`: the tunnel's MTU, which a packet never passes.
  explicit PathMtu(uint16_t ceiling) noexcept : ceiling_(ceiling), mtu_(ceiling) {}

  // What gets through, as far as is known; at most the ceiling.
  [[nodiscard]] uint16_t mtu() const noexcept { return mtu_; }
  // The way to the peer, or the tunnel's MTU, is another now: nothing is known of it.
  void restart(uint16_t ceiling) noexcept { *this = PathMtu(ceiling); }

  // When handle_timeout() is due; the past: at once.
  [[nodiscard]] Instant poll_timeout() const noexcept { return due_; }
  // The sizes to ask for now. `busy`: there was traffic to the peer since the last call.
  [[nodiscard]] std::vector<uint16_t> handle_timeout(bool busy, Instant now);
  // A packet of this size was answered.
  void on_answer(uint16_t bytes) { answered_.insert(bytes); }

 private:
  enum class State : uint8_t { kResting, kChecking, kSearching };
  [[nodiscard]] std::vector<uint16_t> ask(State state, std::vector<uint16_t> sizes, Instant now);
  [[nodiscard]] std::vector<uint16_t> rest(Instant now);
  [[nodiscard]] std::vector<uint16_t> search(Instant now);
  void judge_search(Instant now);

  uint16_t ceiling_;
  uint16_t mtu_;
  State state_ = State::kResting;
  unsigned misses_ = 0;  // in a row, of packets of the size in use
  std::set<uint16_t> answered_;
  std::optional<Instant> raise_at_;
  Instant due_{};
};

}  // namespace vpn::daemon
