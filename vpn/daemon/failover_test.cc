#include "vpn/daemon/failover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vpn/daemon/test_time.h"

namespace vpn::daemon {
namespace {

using namespace std::chrono_literals;

const PublicKey kPeer{{1}};
const UdpAddress kFirst = *UdpAddress::parse("192.0.2.1:1");
const UdpAddress kSecond = *UdpAddress::parse("[2001:db8::1]:1");
const UdpAddress kThird = *UdpAddress::parse("192.0.2.3:1");

Failover failover_with(const std::vector<UdpAddress>& addresses) {
  config::Config config;
  config.peers.resize(1);
  config.peers[0].public_key = kPeer;
  config.peers[0].endpoints = {{"name", 1}};
  Failover failover;
  failover.configure(config, {{{"name", 1}, addresses}});
  return failover;
}

// The attempts of this many steps, as seconds since kStart and address.
std::vector<std::pair<int64_t, UdpAddress>> attempts_of(Failover& failover, size_t count) {
  std::vector<std::pair<int64_t, UdpAddress>> attempts;
  while (attempts.size() < count) {
    const Instant due = failover.poll_timeout().value();
    for (const auto& attempt : failover.take_due(due))
      attempts.emplace_back(std::chrono::duration_cast<std::chrono::seconds>(due - kStart).count(),
                            attempt.endpoint);
  }
  return attempts;
}

TEST(Failover, GoesThroughAllAddressesAndThenBacksOff) {
  Failover failover = failover_with({kFirst, kSecond, kThird});
  failover.on_silent(kPeer, kFirst, kStart);
  EXPECT_THAT(attempts_of(failover, 7),
              testing::ElementsAre(std::pair(0, kSecond), std::pair(10, kThird), std::pair(20, kFirst),
                                   std::pair(40, kSecond), std::pair(60, kThird), std::pair(80, kFirst),
                                   std::pair(120, kSecond)));
}

TEST(Failover, NeverEndsAndNeverWaitsLongerThanTheLongestStep) {
  Failover failover = failover_with({kFirst});
  failover.on_silent(kPeer, kFirst, kStart);
  const auto attempts = attempts_of(failover, 50);
  EXPECT_EQ(attempts.front(), std::pair(int64_t{90}, kFirst));  // the protocol's own attempts come first
  for (size_t index = 10; index < attempts.size(); ++index)
    EXPECT_EQ(attempts[index].first - attempts[index - 1].first, 300);
}

TEST(Failover, ComesBackFromWhereThePeerHadRoamedTo) {
  Failover failover = failover_with({kFirst});
  failover.on_silent(kPeer, kThird, kStart);
  EXPECT_THAT(attempts_of(failover, 4), testing::ElementsAre(std::pair(0, kFirst), std::pair(10, kThird),
                                                             std::pair(30, kFirst), std::pair(50, kThird)))
      << "where it was heard last may come back too";
}

TEST(Failover, EndsWhereThePeerAnswers) {
  Failover failover = failover_with({kFirst, kSecond});
  failover.on_silent(kPeer, kFirst, kStart);
  EXPECT_TRUE(failover.is_silent(kPeer));
  failover.on_heard(kPeer);
  EXPECT_FALSE(failover.is_silent(kPeer));
  EXPECT_FALSE(failover.poll_timeout().has_value());
}

TEST(Failover, LeavesAPeerWithoutAddressesAlone) {
  Failover failover;
  failover.on_silent(kPeer, kFirst, kStart);
  EXPECT_FALSE(failover.poll_timeout().has_value());
}

TEST(Failover, ForgetsAPeerThatIsRemovedMeanwhile) {
  Failover failover = failover_with({kFirst, kSecond});
  failover.on_silent(kPeer, kFirst, kStart);
  failover.configure({}, {});
  EXPECT_TRUE(failover.take_due(kStart + 1h).empty());
}

}  // namespace
}  // namespace vpn::daemon
