#include "vpn/host/host_change.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vpn::host {
namespace {

using config::Config;
using config::RouteTable;
using testing::ElementsAre;

std::vector<std::string> plan_text(const Config& config) {
  std::vector<std::string> lines;
  for (const HostChange& change : plan_host(config, kDefaultMark)) lines.push_back(to_string(change));
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
      ElementsAre("address 10.0.0.1/24", "address fd00::1/64", "route 192.168.0.0/16 in table 254"));
}

TEST(HostPlan, LongestPrefixesComeFirstAndEachOnce) {
  Config config = config_of({}, {"10.0.0.0/8", "10.1.0.0/16"});
  config.peers.push_back(config.peers.front());
  EXPECT_THAT(plan_text(config),
              ElementsAre("route 10.1.0.0/16 in table 254", "route 10.0.0.0/8 in table 254"));
}

TEST(HostPlan, ADefaultRouteMakesAFullTunnelWithMarkAndRules) {
  const Config config = config_of({"10.0.0.2/32"}, {"0.0.0.0/0", "::/0"});
  EXPECT_TRUE(needs_mark(config));
  EXPECT_THAT(
      plan_text(config),
      ElementsAre("address 10.0.0.2/32", "route 0.0.0.0/0 in table 51820",
                  "IPv4 rule not fwmark 51820 table 51820", "IPv4 rule table main suppress_prefixlength 0",
                  "sysctl net/ipv4/conf/all/src_valid_mark = 1", "route ::/0 in table 51820",
                  "IPv6 rule not fwmark 51820 table 51820", "IPv6 rule table main suppress_prefixlength 0"));
}

TEST(HostPlan, TableOffAndTableNumber) {
  Config config = config_of({"10.0.0.2/32"}, {"0.0.0.0/0", "10.0.0.0/8"});
  config.interface.table = {RouteTable::Kind::kOff, 0};
  EXPECT_FALSE(needs_mark(config));
  EXPECT_THAT(plan_text(config), ElementsAre("address 10.0.0.2/32"));
  config.interface.table = {RouteTable::Kind::kNumber, 77};
  EXPECT_FALSE(needs_mark(config));
  EXPECT_THAT(plan_text(config), ElementsAre("address 10.0.0.2/32", "route 10.0.0.0/8 in table 77",
                                             "route 0.0.0.0/0 in table 77"));
}

}  // namespace
}  // namespace vpn::host
