#include "vpn/host/host_change.h"
#include "vpn/host/tunnel_mtu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vpn::host {
namespace {

using config::Config;
using config::RouteTable;
using testing::ElementsAre;

HostFacts facts() {
  HostFacts facts;
  facts.interface = "wg0";
  facts.mark = kDefaultMark;
  facts.listen_port = 51820;
  return facts;
}

std::vector<std::string> plan_text(const Config& config) {
  std::vector<std::string> lines;
  for (const HostChange& change : plan_host(config, facts())) lines.push_back(to_string(change));
  return lines;
}

Config config_of(std::vector<const char*> addresses, std::vector<const char*> allowed) {
  Config config;
  for (const char* text : addresses) config.interface.addresses.push_back(*IpPrefix::parse(text));
  auto& peer = config.peers.emplace_back();
  for (const char* text : allowed) peer.allowed_ips.push_back(*IpPrefix::parse(text));
  return config;
}

TEST(HostPlan, RoutesWhatTheAddressesNetworkDoesNotCover) {
  EXPECT_THAT(
      plan_text(config_of({"10.0.0.1/24", "fd00::1/64"}, {"10.0.0.2/32", "192.168.0.0/16", "fd00::2/128"})),
      ElementsAre("nftables table vpn_wg0", "address 10.0.0.1/24", "address fd00::1/64",
                  "route 192.168.0.0/16 in table 254"));
}

TEST(HostPlan, LongestPrefixesComeFirstAndEachOnce) {
  Config config = config_of({}, {"10.0.0.0/8", "10.1.0.0/16"});
  config.peers.push_back(config.peers.front());
  EXPECT_THAT(plan_text(config),
              ElementsAre("route 10.1.0.0/16 in table 254", "route 10.0.0.0/8 in table 254"));
}

// M5.1, TunnelVision: all routes are in a table of our own, which a rule puts before main.
TEST(HostPlan, ADefaultRouteMakesAFullTunnelInATableOfItsOwn) {
  const Config config = config_of({"10.0.0.2/32"}, {"0.0.0.0/0", "::/0", "10.0.0.0/8"});
  EXPECT_TRUE(needs_mark(config));
  EXPECT_THAT(plan_text(config),
              ElementsAre("nftables table vpn_wg0", "address 10.0.0.2/32",
                          "sysctl net/ipv4/conf/all/src_valid_mark = 1", "route 10.0.0.0/8 in table 51820",
                          "route 0.0.0.0/0 in table 51820", "unreachable route 0.0.0.0/0 in table 51820",
                          "IPv4 rule not fwmark 51820 table 51820", "route ::/0 in table 51820",
                          "unreachable route ::/0 in table 51820", "throw route fe80::/10 in table 51820",
                          "IPv6 rule not fwmark 51820 table 51820"));
}

// M5.3: IPv6 is tunnelled or shut.
TEST(HostPlan, AFullTunnelOfIpv4AloneShutsIpv6) {
  EXPECT_THAT(
      plan_text(config_of({}, {"0.0.0.0/0", "fd00::/64"})),
      testing::IsSupersetOf({"route fd00::/64 in table 51820", "unreachable route ::/0 in table 51820",
                             "IPv6 rule not fwmark 51820 table 51820"}));
}

TEST(HostPlan, AllowLanLeavesPrefixesToTheSystem) {
  Config config = config_of({}, {"0.0.0.0/0"});
  config.interface.allow_lan = {*IpPrefix::parse("192.168.1.0/24")};
  EXPECT_THAT(plan_text(config), testing::Contains("throw route 192.168.1.0/24 in table 51820"));
}

// M5.2: their encrypted packets meet the kill switch once more.
TEST(HostPlan, AFullTunnelLeavesToOthersOfOursWhatIsTheirs) {
  Config config = config_of({}, {"0.0.0.0/0", "10.1.0.0/16"});
  config.interface.kill_switch = true;
  HostFacts known = facts();
  known.other_tunnels = {{*IpPrefix::parse("10.50.0.0/16"), 7, "wg1"},
                         {*IpPrefix::parse("10.1.0.0/16"), 7, "wg1"}};
  const HostPlan plan = plan_host(config, known);
  const HostChange theirs =
      AddRoute{*IpPrefix::parse("10.50.0.0/16"), kDefaultMark, RouteKind::kTunnel, 0, 7};
  EXPECT_THAT(plan, testing::Contains(theirs));
  EXPECT_FALSE(ends_with_interface(theirs)) << "it outlives ours";
  const auto into_theirs = [](const HostChange& change) {
    const auto* const route = std::get_if<AddRoute>(&change);
    return route != nullptr && route->other_tunnel != 0;
  };
  EXPECT_EQ(std::count_if(plan.begin(), plan.end(), into_theirs), 1) << "our own AllowedIPs stay ours";
  EXPECT_THAT(firewall_commands(std::get<SetFirewall>(plan.front()).spec),
              testing::HasSubstr("oifname \"wg1\" accept"));
}

// CVE-2019-14899: nobody outside gets at the tunnel's addresses, but whoever has one of them too keeps it.
TEST(HostPlan, TheFirewallGuardsTheAddressesThatAreTheTunnelsAlone) {
  const Config config = config_of({"10.0.0.1/24", "192.0.2.1/32", "fd00::1/64"}, {"10.0.0.2/32"});
  HostFacts known = facts();
  known.shared_addresses = {*IpAddress::parse("192.0.2.1")};
  const HostPlan plan = plan_host(config, known);
  const std::string text = firewall_commands(std::get<SetFirewall>(plan.front()).spec);
  EXPECT_THAT(text, testing::HasSubstr("ip daddr { 10.0.0.1 } fib"));
  EXPECT_THAT(text, testing::HasSubstr("ip6 daddr { fd00::1 } fib"));
  EXPECT_THAT(text, testing::HasSubstr("arp daddr ip { 10.0.0.1 } drop"));
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("192.0.2.1")));
}

TEST(HostPlan, AGatewayForwardsAndStillHearsRouterAdvertisements) {
  Config config = config_of({"10.0.0.1/24"}, {"10.0.0.2/32"});
  config.interface.masquerade = "eth0";
  EXPECT_THAT(
      plan_text(config),
      ElementsAre("nftables table vpn_wg0", "address 10.0.0.1/24", "sysctl net/ipv4/ip_forward = 1",
                  "sysctl net/ipv6/conf/eth0/accept_ra = 2", "sysctl net/ipv6/conf/all/forwarding = 1"));
}

TEST(HostPlan, TableOffAndTableNumber) {
  Config config = config_of({"10.0.0.2/32"}, {"0.0.0.0/0", "10.0.0.0/8"});
  config.interface.table = {RouteTable::Kind::kOff, 0};
  EXPECT_FALSE(needs_mark(config));
  EXPECT_THAT(plan_text(config), ElementsAre("address 10.0.0.2/32"));
  config.interface.table = {RouteTable::Kind::kNumber, 77};
  EXPECT_FALSE(needs_mark(config));
  EXPECT_THAT(plan_text(config), ElementsAre("nftables table vpn_wg0", "address 10.0.0.2/32",
                                             "route 10.0.0.0/8 in table 77", "route 0.0.0.0/0 in table 77"));
}

TEST(TableName, IsOneThatNftablesTakesAndNoOtherInterfaceHas) {
  EXPECT_EQ(table_name("wg0"), "vpn_wg0");
  EXPECT_EQ(table_name("a.b-c"), "vpn_a_2eb_2dc");
  EXPECT_NE(table_name("a_2e"), table_name("a."));
}

// What is looked up by its subject would else not be found: it would be made twice, or never undone.
TEST(HostChange, EqualOnesAndThoseThatReplaceEachOtherAreAboutTheSame) {
  const auto prefix = [](const char* text) { return *IpPrefix::parse(text); };
  SetFirewall other_firewall;
  other_firewall.spec.kill_switch = true;
  const HostPlan changes = {AddAddress{prefix("10.0.0.0/16")},
                            AddAddress{prefix("10.1.0.0/16")},
                            AddRoute{prefix("10.0.0.0/16")},
                            AddRoute{prefix("10.0.0.0/16"), kMainTable, RouteKind::kTunnel, 1280},
                            AddRoute{prefix("10.0.0.0/16"), kDefaultMark},
                            AddRoute{prefix("10.0.0.0/16"), kMainTable, RouteKind::kThrow},
                            AddRoute{prefix("10.1.0.0/16")},
                            AddMarkRule{IpFamily::kIpv4, 1, 1},
                            AddMarkRule{IpFamily::kIpv6, 1, 1},
                            SetSysctl{"a", "1"},
                            SetSysctl{"b", "1"},
                            SetFirewall{},
                            other_firewall,
                            SetDns{},
                            SetDns{{}, {"a"}}};
  for (const HostChange& one : changes) {
    for (const HostChange& other : changes) {
      if (one == other || replaces(one, other)) {
        EXPECT_EQ(subject_of(one), subject_of(other)) << to_string(one) << ", " << to_string(other);
      }
    }
  }
  EXPECT_NE(subject_of(changes[2]), subject_of(changes[6])) << "thousands of routes are told apart";
}

// An anonymous set of nftables refuses prefixes that overlap.
TEST(FirewallRules, LeaveOutPrefixesThatAnotherCovers) {
  FirewallSpec spec;
  spec.interface = "wg0";
  spec.kill_switch = true;
  spec.allow_lan = {*IpPrefix::parse("10.0.0.0/8"), *IpPrefix::parse("10.1.0.0/16"),
                    *IpPrefix::parse("10.0.0.0/8")};
  EXPECT_THAT(firewall_commands(spec), testing::HasSubstr("ip daddr { 10.0.0.0/8 } accept"));
}

// The firewall is replaced without a moment in which there is none.
TEST(FirewallRules, BeginWithTheRemovalOfWhatWasThereInTheSameTransaction) {
  FirewallSpec spec;
  spec.interface = "wg0";
  EXPECT_TRUE(firewall_commands(spec).starts_with(no_firewall_commands("wg0")));
}

TEST(TunnelMtu, SubtractsEveryLayer) {  // M4.4
  EXPECT_EQ(tunnel_mtu_over(1500, IpFamily::kIpv4), 1440);
  EXPECT_EQ(tunnel_mtu_over(1500, IpFamily::kIpv6), 1420);
  EXPECT_EQ(tunnel_mtu_over(1280, IpFamily::kIpv6), 1280);
  EXPECT_EQ(tunnel_mtu_over(65536, IpFamily::kIpv6), 65455);
  EXPECT_EQ(tunnel_room_over(1280, IpFamily::kIpv4), 1220u);
  EXPECT_EQ(tunnel_room_over(68, IpFamily::kIpv6), 0u);
  EXPECT_EQ(padded_mtu_in(1220), 1216) << "what is padded to 16 bytes is no longer than that";
}

}  // namespace
}  // namespace vpn::host
