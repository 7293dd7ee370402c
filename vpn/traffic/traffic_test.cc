// The loads over loopback: their structure and sums, never their speed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "vpn/traffic/ping.h"
#include "vpn/traffic/tcp_load.h"
#include "vpn/traffic/udp_load.h"

namespace vpn::traffic {
namespace {

using std::chrono::milliseconds;

const End kHere{-1, IpAddress::ipv4(127, 0, 0, 1)};

TEST(TrafficTest, TcpCountsOnlyTheWindowAndCallsItsHooksAroundIt) {
  for (const size_t streams : {size_t{1}, size_t{4}}) {
    int begun = 0;
    int ended = 0;
    const auto result = measure_tcp(
        kHere, kHere, {.streams = streams, .warm_up = milliseconds(10), .window = milliseconds(50)},
        {[&] { ++begun; }, [&] { ended += begun; }});
    ASSERT_TRUE(result) << result.error().to_string();
    EXPECT_GT(result->bytes, 0U);
    EXPECT_GE(result->seconds, 0.05);
    EXPECT_EQ(begun, 1);
    EXPECT_EQ(ended, 1);
  }
}

TEST(TrafficTest, TcpToAnAddressThatIsNotOursSaysSo) {
  const auto result = measure_tcp(kHere, {-1, IpAddress::ipv4(192, 0, 2, 1)}, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().where, "192.0.2.1");
}

TEST(TrafficTest, UdpOffersTheRateItIsToldAndCountsWhatArrives) {
  const auto trial = measure_udp(
      kHere, kHere, {.payload_bytes = 64, .packets_per_second = 2000, .duration = milliseconds(100)});
  ASSERT_TRUE(trial) << trial.error().to_string();
  EXPECT_GT(trial->offered_per_second, 0);
  EXPECT_LE(trial->offered_per_second, 2100);
  EXPECT_LE(trial->received_per_second, trial->offered_per_second);
  EXPECT_NEAR(trial->received_per_second, trial->offered_per_second * (1 - trial->loss), 1e-6);
}

TEST(TrafficTest, SprayReachesItsReceiversInTurnSomePacketsEach) {
  constexpr uint64_t kInARow = 4;
  UdpAddress first;
  UdpAddress second;
  const auto one = open_bound(kHere, SOCK_DGRAM | SOCK_NONBLOCK, 0, first);
  const auto other = open_bound(kHere, SOCK_DGRAM | SOCK_NONBLOCK, 0, second);
  ASSERT_TRUE(one && other);
  const auto sent =
      spray_udp(kHere, {first, second}, kInARow,
                {.payload_bytes = 10, .packets_per_second = 1000, .duration = milliseconds(60)});
  ASSERT_TRUE(sent) << sent.error().to_string();
  const auto count = [](int fd) {
    std::array<char, 16> buffer{};
    uint64_t packets = 0;
    while (::recv(fd, buffer.data(), buffer.size(), 0) == 10) ++packets;
    return packets;
  };
  const uint64_t to_first = count(one->get());
  const uint64_t turns = sent->packets / (2 * kInARow);
  EXPECT_EQ(to_first, turns * kInARow + std::min(sent->packets % (2 * kInARow), kInARow));
  EXPECT_EQ(to_first + count(other->get()), sent->packets);
}

TEST(TrafficTest, PingMeasuresEveryAnswerItGets) {
  const auto result = ping(kHere, kHere, {.interval = milliseconds(5), .duration = milliseconds(50)});
  if (!result && result.error().problem.find("making a socket") != std::string::npos) {
    GTEST_SKIP() << "needs CAP_NET_RAW: " << result.error().to_string();
  }
  ASSERT_TRUE(result) << result.error().to_string();
  EXPECT_EQ(result->sent, 10U);
  EXPECT_FALSE(result->round_trips_ms.empty());
  EXPECT_LE(result->round_trips_ms.size(), result->sent);
  for (const double trip : result->round_trips_ms) EXPECT_GT(trip, 0);
}

}  // namespace
}  // namespace vpn::traffic
