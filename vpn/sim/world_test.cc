#include "vpn/sim/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

#include "vpn/sim/invariants.h"

namespace vpn::sim {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

// Two nodes on a link of 10 ms, watched by the invariants.
class WorldTest : public ::testing::Test {
 protected:
  explicit WorldTest(const TunnelSetup& tunnel = {}) {
    world.log().keep_lines(true);
    alice = world.add_node({.name = "alice"});
    bob = world.add_node({.name = "bob"});
    link = world.connect(alice, bob, tunnel);
    world.set_impairment(link, calm());
  }
  ~WorldTest() override {
    for (const Violation& violation : invariants.violations())
      ADD_FAILURE() << violation.invariant << ": " << violation.what;
  }

  static Impairment calm() {
    Impairment impairment;
    impairment.delay = 10ms;
    return impairment;
  }
  size_t count_lines(std::string_view text) {
    const auto& lines = world.log().lines();
    return static_cast<size_t>(std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.find(text) != std::string::npos;
    }));
  }
  bool arrives(NodeId from, NodeId to) {
    const PacketId id = world.send_packet(from, to);
    world.run_for(1s);
    return world.packet(id).delivered_count == 1;
  }

  World world{7};
  Invariants invariants{world};
  NodeId alice, bob;
  LinkId link;
};

TEST_F(WorldTest, PacketsArriveBothWaysInBothFamilies) {
  const PacketId out = world.send_packet(alice, bob, 1000);
  world.run_for(1s);
  EXPECT_EQ(world.packet(out).delivered_count, 1U);
  EXPECT_EQ(world.packet(out).delivered_at, Instant{30ms}) << "initiation, response, data";
  const PacketId back = world.send_packet(bob, alice, 1420, IpFamily::kIpv6);
  world.run_for(1s);
  EXPECT_EQ(world.packet(back).delivered_at - world.packet(back).sent_at, 10ms);
}

TEST_F(WorldTest, DropListLosesTheSecondResponse) {
  Impairment backward = calm();
  backward.drops = {DropRule{MessageClass::kResponse, 1, 2}};
  world.set_impairment(link, Direction::kBackward, backward);
  const PacketId id = world.send_packet(alice, bob);
  world.run_for(11s);
  EXPECT_EQ(count_lines("response #0 92B"), 1U);
  EXPECT_EQ(count_lines("lost: list"), 2U);
  EXPECT_EQ(world.packet(id).delivered_count, 1U) << "by the third";
  EXPECT_GE(world.packet(id).delivered_at, Instant{10s});
}

TEST_F(WorldTest, PartitionStopsOneDirectionOnly) {
  ASSERT_TRUE(arrives(alice, bob));
  world.set_up(link, Direction::kForward, false);
  EXPECT_FALSE(arrives(alice, bob));
  EXPECT_TRUE(arrives(bob, alice));
  world.set_up(link, Direction::kForward, true);
  EXPECT_TRUE(arrives(alice, bob));
}

TEST_F(WorldTest, MtuLosesWhatIsTooLong) {
  ASSERT_TRUE(arrives(alice, bob));
  Impairment narrow = calm();
  narrow.mtu_bytes = 1280;
  world.set_impairment(link, narrow);
  const PacketId small = world.send_packet(alice, bob, 1216);  // 1216 + 32 + 28 = 1276
  const PacketId large = world.send_packet(alice, bob, 1232);
  world.run_for(1s);
  EXPECT_EQ(world.packet(small).delivered_count, 1U);
  EXPECT_EQ(world.packet(large).delivered_count, 0U);
}

TEST_F(WorldTest, RateDelaysAndTheQueueOverflows) {
  ASSERT_TRUE(arrives(alice, bob));
  Impairment slow = calm();
  slow.rate_bits_per_second = 1'000'000;
  slow.queue_packets = 3;
  world.set_impairment(link, slow);
  std::vector<PacketId> ids;
  for (int i = 0; i < 5; ++i)
    ids.push_back(world.send_packet(alice, bob, 1000 - 60));  // 1000 bytes on the wire: 8 ms
  const Instant sent = world.now();
  world.run_for(1s);
  EXPECT_NEAR(static_cast<double>((world.packet(ids[0]).delivered_at - sent).count()), 18e6, 0.2e6);
  EXPECT_NEAR(static_cast<double>((world.packet(ids[2]).delivered_at - sent).count()), 34e6, 0.4e6);
  EXPECT_EQ(world.packet(ids[3]).delivered_count + world.packet(ids[4]).delivered_count, 0U);
}

TEST_F(WorldTest, RoamingIsFollowed) {
  ASSERT_TRUE(arrives(alice, bob));
  world.change_address(alice);
  EXPECT_FALSE(arrives(bob, alice)) << "to the old address";
  EXPECT_TRUE(arrives(alice, bob));
  EXPECT_TRUE(arrives(bob, alice));
}

TEST_F(WorldTest, CorruptionNeverGetsThrough) {
  ASSERT_TRUE(arrives(alice, bob));
  Impairment noisy = calm();
  noisy.corrupt = 1;
  world.set_impairment(link, noisy);
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(arrives(alice, bob));
}

TEST_F(WorldTest, DuplicatesAreDeliveredOnce) {
  Impairment doubling = calm();
  doubling.duplicate = 1;
  doubling.jitter = 5ms;
  world.set_impairment(link, doubling);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(arrives(alice, bob));
  EXPECT_GT(world.node(bob).drops().of(core::Drop::kReplayed), 40U);
}

TEST_F(WorldTest, WallClocksDriftAndStep) {
  world.set_clock_drift(alice, 1000);
  world.run_for(1000s);
  EXPECT_EQ(world.node_time(alice).wall.seconds - world.node_time(bob).wall.seconds, 1);
  world.step_clock(alice, -24h);
  EXPECT_EQ(world.node_time(alice).wall.seconds - world.node_time(bob).wall.seconds, 1 - 86'400);
  EXPECT_EQ(world.node_time(alice).monotonic, world.node_time(bob).monotonic);
}

// CVE-2021-46873, and a clock that was set to the far future by mistake.
TEST_F(WorldTest, SteppedClocksDoNotLockOut) {
  for (const Duration step : {Duration{-24h}, Duration{24h * 365 * 70}, Duration{-24h * 365 * 70}}) {
    world.step_clock(alice, step);
    world.run_for(200s);  // the session is too old to use
    EXPECT_TRUE(arrives(alice, bob));
  }
}

TEST_F(WorldTest, RestartedNodeComesBack) {
  ASSERT_TRUE(arrives(alice, bob));
  world.restart(bob);
  EXPECT_TRUE(arrives(bob, alice));
  EXPECT_TRUE(arrives(alice, bob));
}

TEST_F(WorldTest, InjectedDatagramComesFromWhereItIsSaidTo) {
  world.inject(bob, {IpAddress::ipv4(203, 0, 113, 1), 99, 0}, std::vector<uint8_t>(40, 0xee), 5ms);
  world.run_for(1s);
  EXPECT_EQ(count_lines("0.005000000 bob < 203.0.113.1:99 other 40B"), 1U);
  EXPECT_EQ(world.node(bob).drops().of(core::Drop::kUnknownType), 1U);
}

TEST(WorldNat, RebindingIsFollowedAndTheOldPortIsDead) {
  World world(3);
  const NodeId server = world.add_node({.name = "server"});
  const NodeId client = world.add_node({.name = "client"});
  world.put_behind_nat(client);
  EXPECT_EQ(world.public_address(client), std::nullopt) << "no mapping before the first datagram out";
  (void)world.connect(server, client);
  const auto arrives = [&](NodeId from, NodeId to) {
    const PacketId id = world.send_packet(from, to);
    world.run_for(1s);
    return world.packet(id).delivered_count == 1;
  };
  EXPECT_FALSE(arrives(server, client));
  EXPECT_TRUE(arrives(client, server));
  EXPECT_TRUE(arrives(server, client));
  const auto before = world.public_address(client);
  world.rebind_nat(client);
  EXPECT_FALSE(arrives(server, client));
  EXPECT_TRUE(arrives(client, server));
  EXPECT_NE(world.public_address(client), before);
  EXPECT_TRUE(arrives(server, client));
}

TEST(WorldNat, MappingTimesOutUnlessKeepalivesHoldIt) {
  for (const bool keepalive : {false, true}) {
    World world(3);
    const NodeId server = world.add_node({.name = "server"});
    const NodeId client = world.add_node({.name = "client"});
    world.put_behind_nat(client, {.mapping_timeout = 30s});
    TunnelSetup tunnel;
    if (keepalive) tunnel.second_keepalive = 25s;
    (void)world.connect(server, client, tunnel);
    (void)world.send_packet(client, server);
    world.run_for(100s);
    const PacketId id = world.send_packet(server, client);
    world.run_for(1s);
    EXPECT_EQ(world.packet(id).delivered_count, keepalive ? 1U : 0U);
  }
}

TEST(WorldLog, SameSeedSameLogByteForByte) {
  const auto live = [](uint64_t seed) {
    World world(seed);
    world.log().keep_lines(true);
    const NodeId a = world.add_node({.name = "a"}), b = world.add_node({.name = "b"});
    const LinkId link = world.connect(a, b, {.preshared_key = true});
    Impairment storm;
    storm.delay = 30ms;
    storm.jitter = 20ms;
    storm.loss = 0.2;
    storm.duplicate = 0.1;
    storm.corrupt = 0.05;
    world.set_impairment(link, storm);
    for (int i = 0; i < 200; ++i) {
      (void)world.send_packet(i % 2 == 0 ? a : b, i % 2 == 0 ? b : a);
      world.run_for(700ms);
    }
    return std::pair(world.log().lines(), world.log().hash());
  };
  const auto first = live(11);
  EXPECT_GT(first.first.size(), 400U);
  EXPECT_EQ(first, live(11));
  EXPECT_NE(first.second, live(12).second);
}

TEST(WorldMisuse, Throws) {
  World world(1);
  const NodeId a = world.add_node({.name = "a"}), b = world.add_node({.name = "b"});
  EXPECT_THROW((void)world.add_node({.name = "a"}), std::invalid_argument);
  EXPECT_THROW((void)world.connect(a, a), std::invalid_argument);
  const LinkId link = world.connect(a, b);
  EXPECT_THROW((void)world.connect(b, a), std::invalid_argument);
  EXPECT_THROW((void)world.send_packet(a, NodeId{9}), std::out_of_range);
  EXPECT_THROW((void)world.send_packet(a, b, 63), std::invalid_argument);
  EXPECT_THROW(world.set_up(LinkId{5}, Direction::kForward, false), std::out_of_range);
  EXPECT_THROW(world.rebind_nat(a), std::invalid_argument);
  Impairment impossible;
  impossible.loss = 2;
  EXPECT_THROW(world.set_impairment(link, impossible), std::invalid_argument);
  world.run_for(1s);
  EXPECT_THROW(world.schedule(Instant{}, [](World&) {}), std::invalid_argument);
}

}  // namespace
}  // namespace vpn::sim
