// Both ends of a tunnel initiate at the same time, in mid-traffic: no packet is lost, and both end up on one
// session.
#include <gtest/gtest.h>

#include <algorithm>

#include "vpn/sim/invariants.h"
#include "vpn/sim/world.h"

namespace vpn::sim {
namespace {

using namespace std::chrono_literals;

class SimultaneousInitiation : public ::testing::TestWithParam<uint64_t> {};

TEST_P(SimultaneousInitiation, RekeysWithoutLossOntoOneSession) {
  World world(GetParam());
  Invariants invariants(world);
  world.log().keep_lines(true);
  const NodeId a = world.add_node({.name = "a"}), b = world.add_node({.name = "b"});
  TunnelSetup tunnel;
  tunnel.rekey.after_bytes = 150'000;  // counted both ways, so that both ends reach it together
  const LinkId link = world.connect(a, b, tunnel);
  Impairment slow;
  slow.delay = 40ms;
  world.set_impairment(link, slow);

  for (int i = 0; i < 1500; ++i) {
    (void)world.send_packet(a, b);
    (void)world.send_packet(b, a);
    world.run_for(10ms);
  }
  world.run_for(1s);

  const auto& lines = world.log().lines();
  const auto initiations = std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
    return line.find("handshake_initiated") != std::string::npos;
  });
  EXPECT_GE(initiations, 6) << "at the start and twice later, from both ends";
  for (const PacketRecord& packet : world.packets()) EXPECT_EQ(packet.delivered_count, 1U);
  const auto at_a = world.node(a).status(*world.peer_id(a, b), world.now());
  const auto at_b = world.node(b).status(*world.peer_id(b, a), world.now());
  ASSERT_TRUE(at_a->current && at_b->current);
  EXPECT_EQ(at_a->current->local, at_b->current->remote);
  EXPECT_EQ(at_a->current->remote, at_b->current->local);
  for (const Violation& violation : invariants.violations())
    ADD_FAILURE() << violation.invariant << ": " << violation.what;
}

INSTANTIATE_TEST_SUITE_P(Seeds, SimultaneousInitiation, ::testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace vpn::sim
