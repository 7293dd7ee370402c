#include "vpn/daemon/path_mtu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vpn/host/echo_socket.h"

namespace vpn::daemon {
namespace {

using namespace std::chrono_literals;

// A path that lets packets up to a size through.
class Path {
 public:
  void run(Duration duration, bool busy = true) {
    const Instant end = now_ + duration;
    while (now_ < end) {
      now_ = std::max(now_ + 100ms, std::min(mtu.poll_timeout(), end));
      for (const uint16_t size : mtu.handle_timeout(busy, now_)) {
        ++asked;
        if (is_alive && size <= limit) mtu.on_answer(size);
      }
    }
  }

  PathMtu mtu{1420};
  uint16_t limit = 1420;
  bool is_alive = true;
  size_t asked = 0;

 private:
  Instant now_{1000s};
};

TEST(PathMtu, StaysWhereEverythingGetsThrough) {
  Path path;
  path.run(60s);
  EXPECT_EQ(path.mtu.mtu(), 1420);
}

TEST(PathMtu, FindsABlackHoleWithin10Seconds) {
  for (const uint16_t limit : std::initializer_list<uint16_t>{1392, 1216, 1200, 576}) {
    Path path;
    path.run(30s);
    path.limit = limit;
    path.run(10s);
    EXPECT_EQ(path.mtu.mtu(), limit);
  }
}

TEST(PathMtu, TakesTheNextSmallerSizeItKnows) {
  Path path;
  path.limit = 1279;
  path.run(10s);
  EXPECT_EQ(path.mtu.mtu(), 1264);
}

TEST(PathMtu, SilenceIsNoBlackHole) {
  Path path;
  path.is_alive = false;
  path.run(300s);
  EXPECT_EQ(path.mtu.mtu(), 1420);
}

TEST(PathMtu, OneLossIsNoBlackHole) {
  PathMtu mtu(1420);
  Instant now{1000s};
  for (int round = 0; round < 100; ++round) {
    now = std::max(now, mtu.poll_timeout());
    for (const uint16_t size : mtu.handle_timeout(true, now)) {
      const bool lost = size == 1420 && round % 4 == 0;
      if (!lost) mtu.on_answer(size);
    }
    EXPECT_EQ(mtu.mtu(), 1420);
  }
}

TEST(PathMtu, RisesAgainWhenThePathDoes) {
  Path path;
  path.limit = 1216;
  path.run(10s);
  ASSERT_EQ(path.mtu.mtu(), 1216);
  path.limit = 1420;
  path.run(500s);
  EXPECT_EQ(path.mtu.mtu(), 1216);
  path.run(110s);
  EXPECT_EQ(path.mtu.mtu(), 1420);
}

TEST(PathMtu, AsksNothingWithoutTraffic) {
  Path path;
  path.run(3600s, /*busy=*/false);
  EXPECT_EQ(path.asked, 0u);
}

TEST(PathMtu, KnowsNothingOfAnotherWay) {
  Path path;
  path.limit = 1216;
  path.run(10s);
  path.mtu.restart(1380);
  EXPECT_EQ(path.mtu.mtu(), 1380);
}

}  // namespace
}  // namespace vpn::daemon
