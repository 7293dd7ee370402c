#include "vpn/host/config_check.h"

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <chrono>

namespace vpn::host {
namespace {

constexpr uint32_t kMark = 51820;

// Adds a peer at this address and with these allowed-IPs.
void add_peer(config::Config& config, const std::string& address, const std::vector<std::string>& allowed) {
  config::PeerConfig peer;
  peer.endpoints.push_back({address, 51820});
  for (const std::string& prefix : allowed) peer.allowed_ips.push_back(*IpPrefix::parse(prefix));
  config.peers.push_back(peer);
}

config::ResolvedEndpoints resolve(const config::Config& config) {
  config::ResolvedEndpoints resolved;
  for (const config::PeerConfig& peer : config.peers) {
    for (const config::EndpointName& name : peer.endpoints)
      resolved[name] = {{*IpAddress::parse(name.host), name.port}};
  }
  return resolved;
}

// `others`: where the host's routes past the tunnel lead to.
std::string problem_of(const config::Config& config, const std::vector<const char*>& others = {}) {
  const auto leads_past = [&](const IpAddress& to, unsigned longer_than) {
    return std::any_of(others.begin(), others.end(), [&](const char* text) {
      const IpPrefix other = *IpPrefix::parse(text);
      return other.length > longer_than && other.contains(to);
    });
  };
  const auto checked = check_config(config, resolve(config), kMark, leads_past, "wg0.conf");
  return checked ? "" : checked.error().problem;
}

TEST(ConfigCheck, NoEndpointMayBeInsideWhatTheTunnelTakes) {
  config::Config config;
  add_peer(config, "192.0.2.1", {"10.0.0.0/8", "198.51.100.0/24"});
  add_peer(config, "2001:db8::1", {"fd00::/8"});
  EXPECT_EQ(problem_of(config), "");
  add_peer(config, "198.51.100.7", {"10.9.0.0/16"});
  EXPECT_EQ(problem_of(config),
            "198.51.100.7 is inside AllowedIPs 198.51.100.0/24, so that the tunnel would run through itself");
  config.peers.back() = config.peers.front();
  add_peer(config, "fd12::1", {});
  EXPECT_EQ(problem_of(config),
            "fd12::1 is inside AllowedIPs fd00::/8, so that the tunnel would run through itself");
}

// A host on a link of 10.1.0.0/24, whose gateway there is the way to the rest of 10.0.0.0/8.
TEST(ConfigCheck, AnEndpointMayBeWhereALongerRouteLeadsPastTheTunnel) {
  config::Config config;
  add_peer(config, "10.1.0.1", {"10.0.0.0/8"});
  EXPECT_NE(problem_of(config), "");
  EXPECT_EQ(problem_of(config, {"10.1.0.0/24"}), "");
  EXPECT_NE(problem_of(config, {"10.2.0.0/24"}), "") << "it leads elsewhere";
  EXPECT_NE(problem_of(config, {"10.0.0.0/8", "0.0.0.0/0"}), "") << "neither is longer";
  config.interface.addresses = {*IpPrefix::parse("10.1.0.9/28")};
  EXPECT_NE(problem_of(config, {"10.1.0.0/24"}), "") << "our own network's route is longer still";
  config.interface.addresses.clear();
  config.peers.front().allowed_ips.push_back(*IpPrefix::parse("10.1.0.1/32"));
  EXPECT_EQ(problem_of(config, {"10.1.0.0/24"}),
            "10.1.0.1 is inside AllowedIPs 10.1.0.1/32, so that the tunnel would run through itself");
}

TEST(ConfigCheck, MarkedPacketsAreAskedForNothing) {
  config::Config config;
  add_peer(config, "10.1.2.3", {"10.0.0.0/8"});
  EXPECT_NE(problem_of(config), "");
  config.interface.fwmark = kMark;
  EXPECT_EQ(problem_of(config), "");
}

std::chrono::nanoseconds processor_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

// Of the processor, and the shortest of some runs, as the machine may be busy with something else.
std::chrono::nanoseconds time_of_check(uint32_t peers) {
  config::Config config;
  for (uint32_t index = 0; index < peers; ++index) {
    const std::string place = std::to_string(index >> 8) + "." + std::to_string(index & 255);
    add_peer(config, "198.18." + place, {"10.0." + place + "/32", "fd00::" + place + "/128"});
  }
  const config::ResolvedEndpoints resolved = resolve(config);
  std::chrono::nanoseconds shortest = std::chrono::nanoseconds::max();
  for (int run = 0; run < 9; ++run) {
    const auto begin = processor_time();
    EXPECT_TRUE(check_config(config, resolved, kMark, nullptr, "wg0.conf").has_value());
    shortest = std::min(shortest, processor_time() - begin);
  }
  return shortest;
}

// An endpoint is not compared with every prefix. Eight times the peers: 64 times the comparisons.
TEST(ConfigCheck, ItsTimeGrowsAsTheNumberOfPeers) {
  EXPECT_LT(time_of_check(8000), 24 * time_of_check(1000));
}

}  // namespace
}  // namespace vpn::host
