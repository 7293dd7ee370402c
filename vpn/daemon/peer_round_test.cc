#include "vpn/daemon/peer_round.h"

#include <gtest/gtest.h>

#include <map>

#include "vpn/daemon/test_time.h"

namespace vpn::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr PeerRound::Limits kParts{64, milliseconds(5)};

using Visits = std::map<PublicKey, size_t>;

Visits peers(size_t count) {
  Visits all;
  for (size_t number = 0; number < count; ++number) {
    PublicKey key{};
    key.bytes[0] = static_cast<uint8_t>(number >> 8);
    key.bytes[1] = static_cast<uint8_t>(number);
    all[key] = 0;
  }
  return all;
}

// Does the next part, which is due, and returns how many peers it went to.
size_t do_part(PeerRound& round, Visits& all) {
  const Instant due = *round.poll_timeout();
  EXPECT_TRUE(round.take_due(due));
  size_t visited = 0;
  round.go_on(all, due, [&](const PublicKey&, size_t& visits) {
    ++visits;
    ++visited;
  });
  return visited;
}

TEST(PeerRound, GoesToEachOnceAndToFewAtOnce) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{64}, size_t{65}, size_t{10'000}}) {
    PeerRound round(kParts);
    EXPECT_FALSE(round.poll_timeout());
    Visits all = peers(count);
    round.begin(all.size(), kStart);
    EXPECT_EQ(round.poll_timeout(), kStart) << "the first part waits for nothing";
    while (round.poll_timeout()) EXPECT_LE(do_part(round, all), kParts.at_once);
    for (const auto& [key, visits] : all) EXPECT_EQ(visits, 1u);
  }
}

TEST(PeerRound, PausesBetweenParts) {
  PeerRound round(kParts);
  Visits all = peers(100);
  round.begin(all.size(), kStart);
  EXPECT_EQ(do_part(round, all), 64u);
  EXPECT_EQ(round.poll_timeout(), kStart + kParts.pause);
  EXPECT_FALSE(round.take_due(kStart + kParts.pause - milliseconds(1)));
  EXPECT_EQ(do_part(round, all), 36u);
  EXPECT_FALSE(round.poll_timeout());
}

// The network changes again and again before the round is done.
TEST(PeerRound, LeavesNobodyOutHoweverOftenItBeginsAnew) {
  PeerRound round(kParts);
  Visits all = peers(1000);
  for (int change = 0; change < 16; ++change) {
    round.begin(all.size(), kStart + seconds(change));
    EXPECT_EQ(do_part(round, all), 64u);
  }
  for (const auto& [key, visits] : all) EXPECT_GE(visits, 1u);
  for (auto& [key, visits] : all) visits = 0;
  round.begin(all.size(), kStart + seconds(16));
  while (round.poll_timeout()) do_part(round, all);
  for (const auto& [key, visits] : all) EXPECT_EQ(visits, 1u) << "all, from where it was";
}

TEST(PeerRound, EndsWhenPeersAreTakenAwayMeanwhile) {
  PeerRound round(kParts);
  Visits all = peers(200);
  round.begin(all.size(), kStart);
  EXPECT_EQ(do_part(round, all), 64u);
  all.clear();
  EXPECT_EQ(do_part(round, all), 0u);
  EXPECT_FALSE(round.poll_timeout());
}

}  // namespace
}  // namespace vpn::daemon
