#include "lab/kernel/nat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lab {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string rules(NatKind kind, bool hairpin = false) {
  Nat nat;
  nat.kind = kind;
  nat.inside = {"lan0", "lan1"};
  nat.outside = "wan";
  nat.hairpin = hairpin;
  nat.udp_timeout = std::chrono::milliseconds(2500);
  return nat_ruleset(nat, IpAddress::ipv4(198, 51, 100, 1), false);
}

// What they do to packets is tested on the kernel: tests/test_nat.py.
TEST(NatRules, ConesLetUnknownSendersInByTheUserOfThePort) {
  EXPECT_THAT(rules(NatKind::kFullCone), HasSubstr("meta l4proto udp dnat to udp dport map @users"));
  EXPECT_THAT(rules(NatKind::kRestricted),
              HasSubstr("ip saddr . udp dport @spoken_to dnat to udp dport map @users"));
  EXPECT_THAT(rules(NatKind::kPortRestricted), Not(HasSubstr("dnat to")));
  EXPECT_THAT(rules(NatKind::kSymmetric), Not(HasSubstr("dnat to")));
}

TEST(NatRules, OnlyTheSymmetricKindChangesPortsAtWill) {
  for (const NatKind kind : {NatKind::kFullCone, NatKind::kRestricted, NatKind::kPortRestricted}) {
    EXPECT_THAT(rules(kind), HasSubstr("udp sport @taken masquerade to :1024-65535 fully-random"));
    EXPECT_THAT(rules(kind), Not(HasSubstr("masquerade fully-random")));
    EXPECT_THAT(rules(kind, true),
                HasSubstr("udp sport @taken snat to 198.51.100.1:1024-65535 fully-random"));
    EXPECT_THAT(rules(kind, true), Not(HasSubstr("snat to 198.51.100.1 fully-random")));
  }
  EXPECT_THAT(rules(NatKind::kSymmetric), HasSubstr("masquerade fully-random"));
  EXPECT_THAT(rules(NatKind::kSymmetric, true), HasSubstr("snat to 198.51.100.1 fully-random"));
}

TEST(NatRules, NameTheirInterfacesAndRoundTimesUp) {
  const std::string text = rules(NatKind::kFullCone);
  EXPECT_THAT(text, HasSubstr(R"(iifname { "lan0", "lan1" } oifname "wan")"));
  EXPECT_THAT(text, HasSubstr("timeout 3s")) << "nftables here counts whole seconds";
}

TEST(NatRules, StrangersAreShutOutOfARouterThatServesNobody) {
  EXPECT_THAT(rules(NatKind::kSymmetric), HasSubstr("hook input"));
  Nat nat;
  nat.inside = {"lan0"};
  nat.outside = "wan";
  EXPECT_THAT(nat_ruleset(nat, IpAddress::ipv4(198, 51, 100, 1), true), Not(HasSubstr("hook input")));
}

TEST(NatRules, HairpinIsThereOnlyWhenAskedFor) {
  EXPECT_THAT(rules(NatKind::kPortRestricted, true),
              HasSubstr(R"(iifname { "lan0", "lan1" } ip daddr 198.51.100.1 meta l4proto udp dnat)"));
  EXPECT_THAT(rules(NatKind::kPortRestricted), Not(HasSubstr("ip daddr 198.51.100.1")));
}

}  // namespace
}  // namespace lab
