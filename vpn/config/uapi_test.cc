#include "vpn/config/uapi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <sstream>

namespace vpn::config {
namespace {

using testing::HasSubstr;

const std::string kHexA(64, 'a');
const std::string kHexB(64, 'b');

PublicKey filled(uint8_t byte) {
  PublicKey key;
  key.bytes.fill(byte);
  return key;
}

int errno_of(const std::string& lines) {
  const auto change = parse_set(lines);
  return change ? 0 : change.error().error_number;
}

TEST(UapiSet, ReadsAWholeRequest) {
  const auto change = parse_set(
      "private_key=" + kHexA + "\nlisten_port=51820\nfwmark=0x10\nreplace_peers=true\npublic_key=" + kHexB +
      "\npreshared_key=" + kHexA +
      "\nendpoint=[fe80::1%3]:51820\npersistent_keepalive_interval=25\nreplace_allowed_ips=true\n"
      "allowed_ip=10.0.0.5/8\nallowed_ip=-fd00::/8\nprotocol_version=1\ncipher=aes-256-gcm\n"
      "rekey_after_bytes=64000000\nrekey_after_seconds=60\npublic_key=" +
      kHexA + "\nremove=true\nupdate_only=true\n");
  ASSERT_TRUE(change.has_value());
  DeviceChange expected;
  expected.private_key = Secret<32>(filled(0xaa).bytes);
  expected.listen_port = 51820;
  expected.fwmark = 16;
  expected.replace_peers = true;
  PeerChange& first = expected.peers.emplace_back(filled(0xbb));
  first.preshared_key = Secret<32>(filled(0xaa).bytes);
  first.endpoint = *UdpAddress::parse("[fe80::1%3]:51820");
  first.persistent_keepalive = 25;
  first.replace_allowed_ips = true;
  first.allowed_ips = {{*IpPrefix::parse("10.0.0.0/8"), false}, {*IpPrefix::parse("fd00::/8"), true}};
  first.cipher = Cipher::kAes256Gcm;
  first.rekey_after_bytes = 64000000;
  first.rekey_after_time = std::chrono::seconds(60);
  PeerChange& second = expected.peers.emplace_back(filled(0xaa));
  second.remove = true;
  second.update_only = true;
  EXPECT_EQ(*change, expected);
  EXPECT_EQ(parse_set(emit_set(*change)).value(), *change) << "what is emitted means the same";
}

TEST(UapiSet, RefusesWithTheErrnoOfTheProtocol) {
  const std::string peer = "public_key=" + kHexA + "\n";
  EXPECT_EQ(errno_of(""), 0);
  EXPECT_EQ(errno_of("nonsense\n"), EPROTO);
  EXPECT_EQ(errno_of("=1\n"), EPROTO);
  for (const char* bad : {"colour=red", "private_key=ab", "listen_port=65536", "listen_port=", "fwmark=x",
                          "replace_peers=false", "endpoint=192.0.2.1:1", "public_key=ab"}) {
    EXPECT_EQ(errno_of(std::string(bad) + "\n"), EINVAL) << bad;
  }
  for (const char* bad :
       {"listen_port=1", "endpoint=192.0.2.1", "endpoint=example.org:1", "endpoint=192.0.2.1:0",
        "persistent_keepalive_interval=65536", "allowed_ip=10.0.0.0/33", "protocol_version=2", "remove=1",
        "cipher=rot13", "rekey_after_seconds=121", "rekey_after_seconds=0"}) {
    EXPECT_EQ(errno_of(peer + bad + "\n"), EINVAL) << bad;
  }
}

TEST(UapiSet, NamesTheLineButNeverTheValue) {
  const auto change = parse_set("listen_port=1\nprivate_key=secret\n");
  ASSERT_FALSE(change.has_value());
  EXPECT_EQ(change.error().line, 2);
  EXPECT_EQ(change.error().key, "private_key");
}

TEST(UapiSet, LooksUpTheZoneOfALinkLocalEndpoint) {
  const auto zone = [](std::string_view name) {
    return name == "eth0" ? std::optional<uint32_t>(5) : std::nullopt;
  };
  const std::string peer = "public_key=" + kHexA + "\n";
  EXPECT_EQ(parse_set(peer + "endpoint=[fe80::1%eth0]:7\n", zone)->peers[0].endpoint->scope_id, 5u);
  EXPECT_FALSE(parse_set(peer + "endpoint=[fe80::1%eth1]:7\n", zone).has_value());
}

TEST(UapiGet, AnswersSurviveEmitAndParse) {
  DeviceReport report;
  report.private_key = Secret<32>(filled(1).bytes);
  report.listen_port = 51820;
  report.fwmark = 51820;
  report.version = "0.1.0";
  report.tun_offload = "tso uso";
  report.udp_offload = "gso gro";
  report.counters = {{"replayed", 3}, {"send_refused", 1}};
  PeerReport& peer = report.peers.emplace_back();
  peer.public_key = filled(2);
  peer.preshared_key = Secret<32>(filled(3).bytes);
  peer.endpoint = *UdpAddress::parse("192.0.2.1:51820");
  peer.persistent_keepalive = 25;
  peer.last_handshake_seconds = 1700000000;
  peer.last_handshake_nanoseconds = 5;
  peer.received_bytes = UINT64_MAX;
  peer.sent_bytes = 7;
  peer.allowed_ips = {*IpPrefix::parse("10.0.0.0/8"), *IpPrefix::parse("::/0")};
  peer.name = "laptop of Ann";
  peer.cipher = Cipher::kAes256Gcm;
  peer.rekey_after_bytes = 64;
  peer.rekey_after_time = std::chrono::seconds(60);
  peer.staged_packets = 2;
  peer.roamed_count = 1;
  peer.sessions = {{"current", true, std::chrono::seconds(30), 99}};
  peer.endpoint_history = {{*UdpAddress::parse("192.0.2.9:9"), 1700000000}};
  report.peers.emplace_back().public_key = filled(4);
  const auto read = parse_get(emit_get(report));
  ASSERT_TRUE(read.has_value()) << read.error().key;
  EXPECT_EQ(*read, report);
}

TEST(UapiGet, EveryKeyIsDocumented) {
  std::stringstream document;
  document << std::ifstream(VPN_DOCS "/control-socket.md").rdbuf();
  DeviceReport report;
  report.private_key = Secret<32>(filled(1).bytes);
  report.fwmark = 1;
  report.version = report.tun_offload = report.udp_offload = "x";
  report.counters = {{"NAME", 1}};
  PeerReport& peer = report.peers.emplace_back();
  peer.name = "x";
  peer.endpoint = *UdpAddress::parse("192.0.2.1:1");
  peer.allowed_ips = {*IpPrefix::parse("10.0.0.0/8")};
  peer.sessions = {{"current", true, std::chrono::seconds(1), 1}};
  peer.endpoint_history = {{*peer.endpoint, 1}};
  std::istringstream lines(emit_get(report));
  for (std::string line; std::getline(lines, line);) {
    const std::string key = "`" + line.substr(0, line.find('=')) + "`";
    EXPECT_THAT(document.str(), HasSubstr(key));
  }
}

TEST(UapiGet, PassesOverWhatItDoesNotKnow) {
  const auto report = parse_get("flux=1\nlisten_port=7\npublic_key=" + kHexA + "\nflux=2\nrx_bytes=3\n");
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->peers.at(0).received_bytes, 3u);
  EXPECT_EQ(parse_get("rubbish\n").error().error_number, EPROTO);
  EXPECT_EQ(parse_get("private_key=rubbish\n").error().error_number, EPROTO);
}

}  // namespace
}  // namespace vpn::config
