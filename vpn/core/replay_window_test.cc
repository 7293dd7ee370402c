#include "vpn/core/replay_window.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "vpn/core/constants.h"

namespace vpn::core {
namespace {

constexpr Counter kLimit = ReplayWindow::kUsableBits + 1;

struct Step {
  Counter counter;
  bool accepted;
};

// The reference sequence around the window's edges: 34 steps.
TEST(ReplayWindow, ReferenceSteps) {
  const Step steps[] = {{0, true},
                        {0, false},
                        {1, true},
                        {1, false},
                        {9, true},
                        {8, true},
                        {7, true},
                        {7, false},
                        {kLimit, true},
                        {kLimit - 1, true},
                        {kLimit - 1, false},
                        {kLimit - 2, true},
                        {2, true},
                        {2, false},
                        {kLimit + 16, true},
                        {3, false},
                        {kLimit + 16, false},
                        {kLimit * 4, true},
                        {kLimit * 4 - (kLimit - 1), true},
                        {10, false},
                        {kLimit * 4 - kLimit, false},
                        {kLimit * 4 - (kLimit + 1), false},
                        {kLimit * 4 - (kLimit - 2), true},
                        {kLimit * 4 + 1 - kLimit, false},
                        {0, false},
                        {kRejectAfterMessages, false},
                        {kRejectAfterMessages - 1, true},
                        {kRejectAfterMessages, false},
                        {kRejectAfterMessages - 1, false},
                        {kRejectAfterMessages - 2, true},
                        {kRejectAfterMessages + 1, false},
                        {kRejectAfterMessages + 2, false},
                        {kRejectAfterMessages - 2, false},
                        {kRejectAfterMessages - 3, true}};
  static_assert(std::size(steps) == 34);
  ReplayWindow window;
  for (size_t index = 0; index < std::size(steps); ++index) {
    EXPECT_EQ(window.would_accept(steps[index].counter), steps[index].accepted) << "step " << index + 1;
    EXPECT_EQ(window.accept(steps[index].counter), steps[index].accepted) << "step " << index + 1;
  }
}

// The seven loops: forwards, backwards, and with gaps at either end of the window.
TEST(ReplayWindow, ForwardsFromOne) {
  ReplayWindow window;
  for (Counter counter = 1; counter < kLimit; ++counter) EXPECT_TRUE(window.accept(counter));
  EXPECT_TRUE(window.accept(0));
  EXPECT_FALSE(window.accept(0));
}

TEST(ReplayWindow, ForwardsFromTwo) {
  ReplayWindow window;
  for (Counter counter = 2; counter <= kLimit; ++counter) EXPECT_TRUE(window.accept(counter));
  EXPECT_TRUE(window.accept(1));
  EXPECT_FALSE(window.accept(0));
}

TEST(ReplayWindow, BackwardsThroughTheWholeWindow) {
  ReplayWindow window;
  for (Counter counter = kLimit; counter-- > 0;) EXPECT_TRUE(window.accept(counter)) << counter;
}

TEST(ReplayWindow, BackwardsOneTooFar) {
  ReplayWindow window;
  for (Counter counter = kLimit; counter > 0; --counter) EXPECT_TRUE(window.accept(counter));
  EXPECT_FALSE(window.accept(0));
}

TEST(ReplayWindow, BackwardsAndThenOn) {
  ReplayWindow window;
  for (Counter counter = kLimit; counter-- > 1;) EXPECT_TRUE(window.accept(counter));
  EXPECT_TRUE(window.accept(kLimit));
  EXPECT_FALSE(window.accept(0));
}

TEST(ReplayWindow, BackwardsThenZeroThenOn) {
  ReplayWindow window;
  for (Counter counter = kLimit; counter-- > 1;) EXPECT_TRUE(window.accept(counter));
  EXPECT_TRUE(window.accept(0));
  EXPECT_TRUE(window.accept(kLimit));
}

TEST(ReplayWindow, BackwardsThenTwoOn) {
  ReplayWindow window;
  for (Counter counter = kLimit; counter-- > 1;) EXPECT_TRUE(window.accept(counter));
  EXPECT_TRUE(window.accept(kLimit + 1));
  EXPECT_FALSE(window.accept(0));
}

// A deliberately naive window: a set of everything seen.
TEST(ReplayWindow, AgreesWithANaiveOracle) {
  std::mt19937_64 random(20240607);
  ReplayWindow window;
  std::set<Counter> seen;
  Counter greatest = 0;
  for (int step = 0; step < 300'000; ++step) {
    Counter counter = 0;
    switch (random() % 8) {
      case 0:
        counter = greatest + random() % 20'000;
        break;
      case 1:
        counter = greatest - std::min<Counter>(greatest, random() % 20'000);
        break;
      case 2:
        counter = greatest - std::min<Counter>(greatest, ReplayWindow::kUsableBits - 2 + random() % 5);
        break;
      default:
        counter = greatest + 3 - std::min<Counter>(greatest, random() % 8);
        break;
    }
    const bool in_window =
        seen.empty() || counter >= greatest || greatest - counter <= ReplayWindow::kUsableBits;
    const bool expected = in_window && !seen.contains(counter);
    ASSERT_EQ(window.would_accept(counter), expected) << "step " << step << " counter " << counter;
    ASSERT_EQ(window.accept(counter), expected) << "step " << step << " counter " << counter;
    if (expected) seen.insert(counter);
    if (expected) greatest = std::max(greatest, counter);
  }
}

}  // namespace
}  // namespace vpn::core
