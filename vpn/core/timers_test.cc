#include "vpn/core/timers.h"

#include <gtest/gtest.h>

#include <random>

#include "vpn/core/constants.h"

namespace vpn::core {
namespace {

TEST(TimerTable, TakesWhatIsDueOnce) {
  TimerTable timers;
  EXPECT_EQ(timers.earliest(), Instant::max());
  timers.arm(Timer::kNoAnswer, Instant(5s));
  timers.arm(Timer::kEraseKeys, Instant(3s));
  EXPECT_EQ(timers.earliest(), Instant(3s));
  EXPECT_EQ(timers.take_due(Instant(3s) - 1ns), std::nullopt);
  EXPECT_EQ(timers.take_due(Instant(3s)), Timer::kEraseKeys);
  EXPECT_EQ(timers.take_due(Instant(3s)), std::nullopt);
  timers.cancel(Timer::kNoAnswer);
  EXPECT_EQ(timers.earliest(), Instant::max());
}

// Against a scan over all entries: the top is always the least key, wherever entries are removed.
TEST(TimerQueue, AgreesWithAScan) {
  std::mt19937_64 random(20240609);
  std::vector<TimerQueue::Entry> entries(200);
  TimerQueue queue;
  for (int step = 0; step < 100'000; ++step) {
    TimerQueue::Entry& entry = entries[random() % entries.size()];
    if (random() % 3 == 0) {
      queue.remove(entry);
      ASSERT_EQ(entry.position, TimerQueue::kAbsent);
    } else {
      const Instant at(Duration(static_cast<Duration::rep>(random() % 1000)));
      const Instant before = entry.position == TimerQueue::kAbsent ? Instant::max() : entry.key;
      queue.schedule(entry, at);
      ASSERT_EQ(entry.key, std::min(before, at));
    }
    Instant least = Instant::max();
    for (const TimerQueue::Entry& other : entries) {
      if (other.position != TimerQueue::kAbsent) least = std::min(least, other.key);
    }
    ASSERT_EQ(queue.top() == nullptr ? Instant::max() : queue.top()->key, least);
  }
}

}  // namespace
}  // namespace vpn::core
