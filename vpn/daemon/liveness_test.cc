#include "vpn/daemon/liveness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "vpn/core/constants.h"
#include "vpn/daemon/test_time.h"

namespace vpn::daemon {
namespace {

using namespace std::chrono_literals;

// The questions of so long a time, as times since the start, to a peer that answers until it dies.
std::vector<Duration> questions_in(Liveness& liveness, Duration duration, Duration death) {
  std::vector<Duration> questions;
  uint64_t received = 1;
  Instant now = kStart;
  while (now < kStart + duration) {
    if (liveness.handle_timeout(received, now)) {
      questions.push_back(now - kStart);
      if (now - kStart < death) ++received;
    }
    now = std::max(now + 1ms, liveness.poll_timeout());
  }
  return questions;
}

TEST(Liveness, AnIdlePeerThatAnswersIsAskedEverySecondStep) {
  Liveness liveness;
  EXPECT_THAT(questions_in(liveness, 40s, 1h), testing::ElementsAre(4500ms, 13500ms, 22500ms, 31500ms));
}

TEST(Liveness, APeerThatSpeaksIsNeverAsked) {
  Liveness liveness;
  for (uint64_t second = 0; second < 600; ++second)
    EXPECT_FALSE(liveness.handle_timeout(second + 1, kStart + std::chrono::seconds(second)));
}

// M2.4: whenever it is heard for the last time, the data that goes unanswered is sent soon enough.
TEST(Liveness, SilenceIsNoticedWithin25Seconds) {
  constexpr Duration kProof = core::kNoAnswerTimeout + core::kMaxJitter;
  for (Duration last_heard{}; last_heard < 2 * kLivenessStep; last_heard += 100ms) {
    Liveness liveness;
    EXPECT_FALSE(liveness.handle_timeout(1, kStart));
    bool is_asked = false;
    for (Duration at{}; !is_asked; at += 1ms) {
      ASSERT_LT(at - last_heard, 25s);
      is_asked = liveness.handle_timeout(at < last_heard ? 1 : 2, kStart + at) && at >= last_heard;
      if (is_asked) {
        EXPECT_LE(at - last_heard + kProof, 25s);
      }
    }
  }
}

TEST(Liveness, ASilentPeerIsAskedForEverWithGrowingPauses) {
  Liveness liveness;
  const auto questions = questions_in(liveness, 2h, 0s);
  EXPECT_THAT(std::vector(questions.begin(), questions.begin() + 6),
              testing::ElementsAre(4500ms, 9s, 13500ms, 18s, 27s, 45s));
  for (size_t index = 12; index < questions.size(); ++index)
    EXPECT_EQ(questions[index] - questions[index - 1], kLongestLivenessStep);
  EXPECT_GT(questions.size(), 20U);
}

}  // namespace
}  // namespace vpn::daemon
