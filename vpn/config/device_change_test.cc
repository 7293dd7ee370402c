#include "vpn/config/device_change.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vpn::config {
namespace {

PublicKey key_of(uint8_t byte) {
  PublicKey key;
  key.bytes.fill(byte);
  return key;
}

PeerConfig peer_of(uint8_t byte, const char* allowed, const char* endpoint = "192.0.2.1:1") {
  PeerConfig peer;
  peer.public_key = key_of(byte);
  peer.allowed_ips = {*IpPrefix::parse(allowed)};
  peer.endpoints = {*EndpointName::parse(endpoint)};
  return peer;
}

const ResolvedEndpoints kResolved = {{{"192.0.2.1", 1}, {*UdpAddress::parse("192.0.2.1:1")}},
                                     {{"192.0.2.2", 2}, {*UdpAddress::parse("192.0.2.2:2")}}};

Config base_config() {
  Config config;
  config.interface.listen_port = 1000;
  config.peers = {peer_of(1, "10.0.0.1/32"), peer_of(2, "10.0.0.2/32"), peer_of(3, "10.0.0.3/32")};
  return config;
}

TEST(ChangeBetween, EqualConfigurationsIsNothing) {
  EXPECT_TRUE(change_between(base_config(), base_config(), kResolved).is_empty());
}

TEST(ChangeBetween, MentionsOnlyWhatDiffers) {
  Config wanted = base_config();
  wanted.interface.fwmark = 7;
  wanted.peers.erase(wanted.peers.begin());
  wanted.peers[1].allowed_ips = {*IpPrefix::parse("10.0.3.0/24")};
  wanted.peers[1].persistent_keepalive = 25;
  wanted.peers.push_back(peer_of(4, "10.0.0.4/32", "192.0.2.2:2"));

  DeviceChange expected;
  expected.fwmark = 7;
  expected.peers.emplace_back(key_of(1)).remove = true;
  PeerChange& third = expected.peers.emplace_back(key_of(3));
  third.persistent_keepalive = 25;
  third.allowed_ips = {{*IpPrefix::parse("10.0.0.3/32"), true}, {*IpPrefix::parse("10.0.3.0/24"), false}};
  PeerChange& fourth = expected.peers.emplace_back(key_of(4));
  fourth.endpoint = *UdpAddress::parse("192.0.2.2:2");
  fourth.allowed_ips = {{*IpPrefix::parse("10.0.0.4/32"), false}};
  EXPECT_EQ(change_between(base_config(), wanted, kResolved), expected);
}

TEST(CandidatesOf, AreAllAddressesOfAllEndpointsInOrderAndEachOnce) {
  PeerConfig peer = peer_of(1, "10.0.0.1/32");
  peer.endpoints = {{"both", 1}, {"unresolved", 1}, {"192.0.2.1", 1}, {"192.0.2.9", 1}};
  const UdpAddress v6 = *UdpAddress::parse("[2001:db8::1]:1");
  const UdpAddress v4 = *UdpAddress::parse("192.0.2.1:1");
  const UdpAddress other = *UdpAddress::parse("192.0.2.9:1");
  const ResolvedEndpoints resolved = {
      {{"both", 1}, {v6, v4}}, {{"192.0.2.1", 1}, {v4}}, {{"192.0.2.9", 1}, {other}}};
  EXPECT_EQ(candidates_of(peer, resolved), (std::vector{v6, v4, other}));
}

TEST(ChangeBetween, SetsAnEndpointOnlyWhereTheFileSaysAnother) {
  Config wanted = base_config();
  wanted.peers[1].endpoints = {{"192.0.2.2", 2}};
  const DeviceChange change = change_between(base_config(), wanted, kResolved);
  ASSERT_EQ(change.peers.size(), 1u);
  EXPECT_EQ(change.peers[0].endpoint, *UdpAddress::parse("192.0.2.2:2"));
}

TEST(ChangeBetween, ANetworkOfTwoPeersIsTheLastOnesAndGoesBackToTheOther) {
  const IpPrefix shared = *IpPrefix::parse("10.0.0.1/32");
  Config both = base_config();
  both.peers[1].allowed_ips.push_back(shared);
  const DeviceChange taken = change_between(base_config(), both, kResolved);
  ASSERT_EQ(taken.peers.size(), 2u);
  EXPECT_EQ(taken.peers[0].allowed_ips, (std::vector<AllowedIpChange>{{shared, true}}));
  EXPECT_EQ(taken.peers[1].allowed_ips, (std::vector<AllowedIpChange>{{shared, false}}));
  const DeviceChange given_back = change_between(both, base_config(), kResolved);
  ASSERT_EQ(given_back.peers.size(), 2u);
  EXPECT_EQ(given_back.peers[0].public_key, key_of(1)) << "its own lines are what they were";
  EXPECT_EQ(given_back.peers[0].allowed_ips, (std::vector<AllowedIpChange>{{shared, false}}));
  EXPECT_EQ(given_back.peers[1].allowed_ips, (std::vector<AllowedIpChange>{{shared, true}}));
  Config without = both;
  without.peers.erase(without.peers.begin() + 1);
  EXPECT_EQ(change_between(both, without, kResolved).peers.back().allowed_ips,
            (std::vector<AllowedIpChange>{{shared, false}}))
      << "the other was removed";
}

TEST(ChangeBetween, APresharedKeyTakenOutIsZeros) {
  Config running = base_config();
  running.peers[0].preshared_key = Secret<32>(key_of(9).bytes);
  const DeviceChange change = change_between(running, base_config(), kResolved);
  ASSERT_EQ(change.peers.size(), 1u);
  EXPECT_TRUE(change.peers[0].preshared_key->is_zero());
}

TEST(ChangeBetween, APeerWithoutAnythingIsStillAdded) {
  Config wanted = base_config();
  wanted.peers.emplace_back().public_key = key_of(8);
  EXPECT_EQ(change_between(base_config(), wanted, kResolved).peers.size(), 1u);
}

TEST(KeysForNextStart, AreThoseThatNeedRightsWhichAreGone) {
  InterfaceConfig running;
  InterfaceConfig wanted;
  wanted.mtu = 1300;
  wanted.save_config = true;
  wanted.dns = {*IpAddress::parse("9.9.9.9")};
  EXPECT_THAT(keys_for_next_start(running, wanted), testing::IsEmpty());
  wanted.hooks.post_up = {"true"};
  wanted.tun_offload = false;
  wanted.user = "nobody";
  EXPECT_THAT(keys_for_next_start(running, wanted), testing::ElementsAre("PostUp", "User", "TunOffload"));
  running = wanted;
  wanted.hooks = {{"a"}, {"b"}, {"c"}, {"d"}};
  wanted.udp_offload = false;
  wanted.workers = 3;
  EXPECT_THAT(keys_for_next_start(running, wanted),
              testing::ElementsAre("PreUp", "PostUp", "PreDown", "PostDown", "Workers", "UdpOffload"));
}

}  // namespace
}  // namespace vpn::config
