#include "vpn/core/handshake_gate.h"

#include <gtest/gtest.h>

#include <map>

#include "vpn/core/constants.h"
#include "vpn/core/node_test_support.h"
#include "vpn/noise/identity.h"

namespace vpn::core {
namespace {

using testing::SeededRandom;

UdpAddress source(uint32_t number, uint16_t port = 1000) {
  std::array<uint8_t, 4> bytes;
  store_be(bytes.data(), 0xc6120000u + number);
  return {IpAddress::ipv4(bytes), port, 0};
}

TEST(RateLimiter, FivePacketBurstThenTwentyASecond) {
  RateLimiter limiter;
  Instant now(1000s);
  const IpAddress address = source(1).address;
  for (int message = 0; message < 5; ++message) EXPECT_TRUE(limiter.admit(address, now));
  EXPECT_FALSE(limiter.admit(address, now));
  EXPECT_FALSE(limiter.admit(address, now + 50ms - 1ns));
  EXPECT_TRUE(limiter.admit(address, now + 50ms));
  EXPECT_FALSE(limiter.admit(address, now + 50ms));
  int admitted = 0;
  for (int step = 1; step <= 10'000; ++step)
    admitted += limiter.admit(address, now + 50ms + step * 1ms) ? 1 : 0;
  EXPECT_EQ(admitted, 200);
}

TEST(RateLimiter, SourcesDoNotShare) {
  RateLimiter limiter;
  const Instant now(1000s);
  for (uint32_t number = 0; number < 1000; ++number) EXPECT_TRUE(limiter.admit(source(number).address, now));
}

TEST(RateLimiter, AnIpv6SourceIsItsSlash64) {
  RateLimiter limiter;
  const Instant now(1000s);
  for (int message = 0; message < 5; ++message) {
    EXPECT_TRUE(limiter.admit(*IpAddress::parse("2001:db8::" + std::to_string(message + 1)), now));
  }
  EXPECT_FALSE(limiter.admit(*IpAddress::parse("2001:db8::99"), now));
  EXPECT_TRUE(limiter.admit(*IpAddress::parse("2001:db8:0:1::1"), now));
}

TEST(RateLimiter, TheTableIsBoundedAndForgetsTheIdle) {
  RateLimiter limiter;
  const Instant now(1000s);
  for (uint32_t number = 0; number < kRateLimitMaxSources; ++number)
    EXPECT_TRUE(limiter.admit(source(number).address, now));
  EXPECT_FALSE(limiter.admit(source(kRateLimitMaxSources).address, now));
  EXPECT_EQ(limiter.source_count(), kRateLimitMaxSources);
  EXPECT_TRUE(limiter.admit(source(kRateLimitMaxSources).address, now + 2s));
  EXPECT_EQ(limiter.source_count(), 1u);
}

class HandshakeGateTest : public ::testing::Test {
 protected:
  std::vector<uint8_t> message(const noise::Cookie* cookie = nullptr) {
    std::vector<uint8_t> bytes(wire::kInitiationBytes, 7);
    noise::write_macs(bytes, mac1_key, cookie);
    return bytes;
  }

  // Sends until the gate is under load.
  void load() {
    while (!gate.under_load(now)) static_cast<void>(gate.admit(message(), mac1_key, source(0), now));
  }

  SeededRandom random{1};
  const crypto::Hash mac1_key = noise::mac1_key(testing::public_key(1));
  HandshakeGate gate{random, 1000};
  Instant now{1000s};
};

TEST_F(HandshakeGateTest, AWrongMac1NeverPassesNorCounts) {
  std::vector<uint8_t> forged = message();
  forged[20] ^= 1;
  for (int count = 0; count < 5000; ++count)
    EXPECT_EQ(gate.admit(forged, mac1_key, source(1), now), Drop::kBadMac1);
  EXPECT_FALSE(gate.under_load(now));
}

TEST_F(HandshakeGateTest, LoadBeginsAtAnEighthOfTheQueueAndSticksForASecond) {
  for (int count = 0; count < 512; ++count) {
    EXPECT_EQ(gate.admit(message(), mac1_key, source(1), now), std::nullopt);
    EXPECT_FALSE(gate.under_load(now));
  }
  EXPECT_EQ(gate.admit(message(), mac1_key, source(1), now), Drop::kCookieRequired);
  EXPECT_TRUE(gate.under_load(now + 1s - 1ns));
  EXPECT_FALSE(gate.under_load(now + 1s));
}

TEST_F(HandshakeGateTest, ACookieHoldsForItsAddressAndPortUntilItsSecretIsReplaced) {
  load();
  const noise::Cookie cookie = gate.cookie_for(source(1, 1000), now);
  EXPECT_EQ(gate.admit(message(&cookie), mac1_key, source(1, 1000), now), std::nullopt);
  EXPECT_EQ(gate.admit(message(&cookie), mac1_key, source(1, 1001), now), Drop::kCookieRequired);
  EXPECT_EQ(gate.admit(message(&cookie), mac1_key, source(2, 1000), now), Drop::kCookieRequired);
  now += 119s;
  load();
  EXPECT_EQ(gate.admit(message(&cookie), mac1_key, source(1, 1000), now), std::nullopt);
  now += 2s;
  load();
  EXPECT_EQ(gate.admit(message(&cookie), mac1_key, source(1, 1000), now), Drop::kCookieRequired);
}

TEST_F(HandshakeGateTest, UnderLoadTheLimiterFollowsTheCookie) {
  load();
  const noise::Cookie cookie = gate.cookie_for(source(1), now);
  for (int count = 0; count < 5; ++count)
    EXPECT_EQ(gate.admit(message(&cookie), mac1_key, source(1), now), std::nullopt);
  EXPECT_EQ(gate.admit(message(&cookie), mac1_key, source(1), now), Drop::kRateLimited);
}

// However many sources prove their addresses, what is admitted stays bounded.
TEST_F(HandshakeGateTest, AdmittedMessagesAreBoundedOverAll) {
  load();
  int admitted = 0;
  int overload = 0;
  for (uint32_t number = 1; number <= 2000; ++number) {
    const noise::Cookie cookie = gate.cookie_for(source(number), now);
    for (int count = 0; count < 5; ++count) {
      const auto verdict = gate.admit(message(&cookie), mac1_key, source(number), now);
      admitted += verdict ? 0 : 1;
      overload += verdict == Drop::kHandshakeOverload ? 1 : 0;
    }
  }
  EXPECT_LE(admitted, 4096);
  EXPECT_GT(overload, 5000);
}

}  // namespace
}  // namespace vpn::core
