#include "vpn/daemon/path_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vpn::daemon {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

config::PeerConfig peer_of(uint8_t number, std::initializer_list<const char*> allowed) {
  config::PeerConfig peer;
  peer.public_key = PublicKey{{number}};
  for (const char* const prefix : allowed) peer.allowed_ips.push_back(*IpPrefix::parse(prefix));
  return peer;
}

config::Config config_of(const char* address, std::vector<config::PeerConfig> peers) {
  config::Config config;
  config.interface.addresses = {*IpPrefix::parse(address)};
  config.peers = std::move(peers);
  return config;
}

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

TEST(EchoTargets, AnAddressByItselfIsThePeers) {
  EXPECT_THAT(echo_targets(config_of(
                  "10.9.0.1/24", {peer_of(1, {"10.1.0.0/16", "10.9.0.2/32"}), peer_of(2, {"fd09::3/128"})})),
              ElementsAre(Pair(PublicKey{{1}}, ip("10.9.0.2")), Pair(PublicKey{{2}}, ip("fd09::3"))));
}

TEST(EchoTargets, TheFirstAddressOfTheTunnelsNetworkIsItsGateways) {
  EXPECT_THAT(echo_targets(config_of("10.9.0.2/24", {peer_of(1, {"0.0.0.0/0", "::/0"})})),
              ElementsAre(Pair(PublicKey{{1}}, ip("10.9.0.1"))));
  EXPECT_THAT(echo_targets(config_of("fd09::2/64", {peer_of(1, {"::/0"})})),
              ElementsAre(Pair(PublicKey{{1}}, ip("fd09::1"))));
}

TEST(EchoTargets, ANameServerBehindThePeerServesToo) {
  config::Config config = config_of("10.9.0.2/32", {peer_of(1, {"0.0.0.0/0"})});
  EXPECT_THAT(echo_targets(config), IsEmpty());
  config.interface.dns = {ip("10.64.0.1")};
  EXPECT_THAT(echo_targets(config), ElementsAre(Pair(PublicKey{{1}}, ip("10.64.0.1"))));
}

TEST(EchoTargets, OnlyWhoOwnsAnAddressIsAskedThereAndNeverWe) {
  EXPECT_THAT(
      echo_targets(config_of("10.9.0.1/24", {peer_of(1, {"10.9.0.0/24"}), peer_of(2, {"10.9.0.2/32"})})),
      ElementsAre(Pair(PublicKey{{2}}, ip("10.9.0.2"))));
}

}  // namespace
}  // namespace vpn::daemon
