#include "vpn/daemon/pace.h"

#include <gtest/gtest.h>

#include "vpn/daemon/test_time.h"

namespace vpn::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Pace::Limits kLimits{milliseconds(200), seconds(1), seconds(8)};

TEST(Pace, ServesABurstAtOnce) {
  Pace pace(kLimits);
  EXPECT_FALSE(pace.poll_timeout());
  pace.call(kStart);
  pace.call(kStart + milliseconds(150));
  EXPECT_EQ(pace.poll_timeout(), kStart + milliseconds(200));
  EXPECT_FALSE(pace.take_due(kStart + milliseconds(199)));
  EXPECT_TRUE(pace.take_due(kStart + milliseconds(200)));
  EXPECT_FALSE(pace.take_due(kStart + milliseconds(200)));
}

TEST(Pace, PausesOnlyAfterWhatHadSomethingToDo) {
  Pace pace(kLimits);
  pace.call(kStart);
  ASSERT_TRUE(pace.take_due(kStart + seconds(1)));
  pace.call(kStart + seconds(1));
  EXPECT_EQ(pace.poll_timeout(), kStart + seconds(1) + milliseconds(200));
  ASSERT_TRUE(pace.take_due(kStart + seconds(2)));
  pace.note_done(kStart + seconds(2));
  pace.call(kStart + seconds(2));
  EXPECT_EQ(pace.poll_timeout(), kStart + seconds(3));
}

// Two programs that fight over one thing.
TEST(Pace, PausesLongerWhileTheCallsDoNotCease) {
  Pace pace(kLimits);
  Instant now = kStart;
  std::vector<int64_t> waits;
  for (int round = 0; round < 6; ++round) {
    pace.call(now);
    const Instant due = *pace.poll_timeout();
    waits.push_back((due - now) / milliseconds(1));
    ASSERT_TRUE(pace.take_due(due));
    pace.note_done(now = due);
  }
  EXPECT_EQ(waits, (std::vector<int64_t>{200, 1000, 2000, 4000, 8000, 8000}));
  pace.call(now + seconds(16));
  ASSERT_TRUE(pace.take_due(now + seconds(17)));
  pace.note_done(now + seconds(17));
  pace.call(now + seconds(17));
  EXPECT_EQ(pace.poll_timeout(), now + seconds(18)) << "it begins anew";
}

}  // namespace
}  // namespace vpn::daemon
