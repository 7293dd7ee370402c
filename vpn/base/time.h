// Time as the core knows it: handed in by the caller, never read from a clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace vpn {

using Duration = std::chrono::nanoseconds;

// A tag clock without now(): an Instant can only come from whoever drives the core.
struct MonotonicClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};

// A point of monotonic time. The origin is the caller's; only differences mean anything.
using Instant = MonotonicClock::time_point;

// Wall-clock time since 1970-01-01 UTC, leap seconds not counted. It may step backwards; only TAI64N stamps
// use it.
struct UnixTime {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;  // 0 … 999,999,999

  friend constexpr auto operator<=>(const UnixTime&, const UnixTime&) = default;
};

struct Now {
  Instant monotonic{};
  UnixTime wall{};
};

}  // namespace vpn
