#include "vpn/config/ini.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vpn/config/text.h"

namespace vpn::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kKeyA[] = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
constexpr char kKeyB[] = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

std::string replaced(std::string text) {
  for (const auto& [mark, key] : {std::pair{"$A", kKeyA}, std::pair{"$B", kKeyB}}) {
    for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark)) text.replace(at, 2, key);
  }
  return text;
}

Config parsed(const std::string& text) {
  auto config = parse_ini(replaced(text), "wg0.conf");
  EXPECT_TRUE(config.has_value()) << config.error().to_string();
  return config.value_or(Config{});
}

std::string error_of(const std::string& text) {
  const auto config = parse_ini(replaced(text), "wg0.conf");
  return config ? "no error" : config.error().to_string();
}

constexpr char kWhole[] = R"(# every key there is
[interface]
PrivateKey = $A   # a comment behind a value
listenport=51820
FwMark = 0xca6c
Address = 10.0.0.1/24, fd00::1/64
Address = 10.1.0.1
MTU = 1380
DNS = 9.9.9.9, 2620:fe::fe
DNS = corp.example, example.org
Table = 1234
PreUp = echo pre up %i
PostUp = iptables -A FORWARD -i %i -j ACCEPT; echo a=b
PostUp = second
PreDown = echo pre down
PostDown = echo post down
SaveConfig = true
User = vpn
Workers = 3
TunOffload = off
UdpOffload = off
KillSwitch = on
AllowLan = 192.168.1.0/24, fd00::/8
Gateway = on
Masquerade = eth0
ClientToClient = off
TunnelCgroup = user.slice/a.scope
BypassCgroup = b

[Peer]
Name = laptop of Ann
PublicKey = $B
PresharedKey = $A
AllowedIPs = 10.0.0.2/32, fd00::2/128
AllowedIPs = 192.168.0.0/16
Endpoint = vpn.example.org:51820
Endpoint = [2001:db8::1]:51821
PersistentKeepalive = 25
Cipher = AES-256-GCM
RekeyAfterBytes = 64MB
RekeyAfterTime = 1m
)";

TEST(Ini, ReadsEveryKey) {
  const Config config = parsed(kWhole);
  const InterfaceConfig& interface = config.interface;
  EXPECT_EQ(to_base64(interface.private_key->view()), kKeyA);
  EXPECT_EQ(interface.listen_port, 51820);
  EXPECT_EQ(interface.fwmark, 0xca6cu);
  EXPECT_THAT(interface.addresses,
              ElementsAre(*IpPrefix::parse("10.0.0.1/24"), *IpPrefix::parse("fd00::1/64"),
                          *IpPrefix::parse("10.1.0.1/32")));
  EXPECT_EQ(interface.mtu, 1380);
  EXPECT_THAT(interface.dns, ElementsAre(*IpAddress::parse("9.9.9.9"), *IpAddress::parse("2620:fe::fe")));
  EXPECT_THAT(interface.dns_search, ElementsAre("corp.example", "example.org"));
  EXPECT_EQ(interface.table, (RouteTable{RouteTable::Kind::kNumber, 1234}));
  EXPECT_THAT(interface.hooks.pre_up, ElementsAre("echo pre up %i"));
  EXPECT_THAT(interface.hooks.post_up,
              ElementsAre("iptables -A FORWARD -i %i -j ACCEPT; echo a=b", "second"));
  EXPECT_THAT(interface.hooks.pre_down, ElementsAre("echo pre down"));
  EXPECT_THAT(interface.hooks.post_down, ElementsAre("echo post down"));
  EXPECT_TRUE(interface.save_config);
  EXPECT_EQ(interface.user, "vpn");
  EXPECT_TRUE(interface.kill_switch);
  EXPECT_THAT(interface.allow_lan,
              ElementsAre(*IpPrefix::parse("192.168.1.0/24"), *IpPrefix::parse("fd00::/8")));
  EXPECT_TRUE(interface.gateway);
  EXPECT_EQ(interface.masquerade, "eth0");
  EXPECT_FALSE(interface.client_to_client);
  EXPECT_THAT(interface.tunnel_cgroups, ElementsAre("user.slice/a.scope"));
  EXPECT_THAT(interface.bypass_cgroups, ElementsAre("b"));
  EXPECT_EQ(interface.workers, 3);
  EXPECT_FALSE(interface.tun_offload);
  EXPECT_FALSE(interface.udp_offload);
  ASSERT_EQ(config.peers.size(), 1u);
  const PeerConfig& peer = config.peers.front();
  EXPECT_EQ(peer.name, "laptop of Ann");
  EXPECT_EQ(to_base64(peer.public_key.bytes), kKeyB);
  EXPECT_EQ(to_base64(peer.preshared_key->view()), kKeyA);
  EXPECT_EQ(peer.allowed_ips.size(), 3u);
  EXPECT_THAT(peer.endpoints,
              ElementsAre(EndpointName{"vpn.example.org", 51820}, EndpointName{"2001:db8::1", 51821}));
  EXPECT_EQ(peer.persistent_keepalive, 25);
  EXPECT_EQ(peer.cipher, Cipher::kAes256Gcm);
  EXPECT_EQ(peer.rekey_after_bytes, 64'000'000u);
  EXPECT_EQ(peer.rekey_after_time, std::chrono::seconds(60));
  EXPECT_EQ(peer.endpoint_line.number, 36);
}

TEST(Ini, IsWrittenToTheSameMeaning) {
  const Config whole = parsed(kWhole);
  EXPECT_EQ(parsed(to_ini(whole)), whole);
  const Config least = parsed("[Interface]\n[Peer]\nPublicKey=$A\nAllowedIPs =\n");
  EXPECT_EQ(parsed(to_ini(least)), least);
}

TEST(Ini, TakesTheWordsOfWgQuick) {
  const Config config = parsed(
      "[Interface]\r\nTable = off\nFwMark = off\n[Peer]\nPublicKey=$A\nPersistentKeepalive = off\n"
      "PresharedKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
  EXPECT_EQ(config.interface.table.kind, RouteTable::Kind::kOff);
  EXPECT_EQ(config.peers[0].preshared_key, std::nullopt) << "zeros mean no preshared key";
}

// R4, as `wg` does: 10.0.0.5/16 stands for 10.0.0.0/16. What is written twice is there once, in its place.
TEST(Ini, NormalisesAllowedIpsAndKeepsTheFirstOfEqualOnes) {
  const Config config = parsed(
      "[Interface]\n[Peer]\nPublicKey=$A\nAllowedIPs = 10.0.0.5/16, fd00::9/64\n"
      "AllowedIPs = 10.9.0.0/24, 10.0.0.0/16\n");
  std::vector<std::string> allowed;
  for (const IpPrefix& prefix : config.peers[0].allowed_ips) allowed.push_back(prefix.to_string());
  EXPECT_EQ(allowed, (std::vector<std::string>{"10.0.0.0/16", "fd00::/64", "10.9.0.0/24"}));
}

struct BadInput {
  const char* text;
  const char* where;
  const char* says;
};

class IniRefuses : public testing::TestWithParam<BadInput> {};

TEST_P(IniRefuses, WithPlaceAndRemedy) {
  const std::string error = error_of(GetParam().text);
  EXPECT_THAT(error, testing::StartsWith(GetParam().where));
  EXPECT_THAT(error, HasSubstr(GetParam().says));
  EXPECT_THAT(error, HasSubstr("; remedy: "));
  EXPECT_EQ(error.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    BadInput, IniRefuses,
    testing::Values(
        BadInput{"[Interface]\nAddress = 10.0.0.1/24, fd00::1/0", "wg0.conf:2: Address: 'fd00::1/0' ",
                 "every address"},
        BadInput{"[Interface]\nPrivatKey = x", "wg0.conf:2: PrivatKey: ", "unknown key"},
        BadInput{"[Interface]\nPrivateKey = abc",
                 "wg0.conf:2: PrivateKey: ", "3 characters where a key has 44"},
        BadInput{"[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBm!=",
                 "wg0.conf:2: PrivateKey: ", "not base64"},
        BadInput{"[Interface]\nPrivateKey = $A\nPrivateKey = $B", "wg0.conf:3: PrivateKey: ", "given twice"},
        BadInput{"[Interface]\nListenPort = 65536", "wg0.conf:2: ListenPort: ", "'65536' is not a port"},
        BadInput{"[Interface]\nAddress = 10.0.0.1/64", "wg0.conf:2: Address: ", "IPv4 address is 0 to 32"},
        BadInput{"[Interface]\nAddress = ten", "wg0.conf:2: Address: ", "'ten' is not an IP address"},
        BadInput{"[Interface]\nMTU = 100", "wg0.conf:2: MTU: ", "576"},
        BadInput{"[Interface]\nWorkers = 65", "wg0.conf:2: Workers: ", "1 to 64"},
        BadInput{"[Interface]\nWorkers = 0", "wg0.conf:2: Workers: ", "1 to 64"},
        BadInput{"[Interface]\nDNS = 9.9.9", "wg0.conf:2: DNS: ", "not an IP address"},
        BadInput{"[Interface]\nDNS = example.org\x1b[0m", "wg0.conf:2: DNS: ", "control character"},
        BadInput{"[Interface]\nTable = -1", "wg0.conf:2: Table: ", "routing table"},
        BadInput{"[Interface]\nSaveConfig = maybe", "wg0.conf:2: SaveConfig: ", "neither true nor false"},
        BadInput{"[Interface]\nPostUp =", "wg0.conf:2: PostUp: ", "no command"},
        BadInput{"[Interface]\nPostUp = a\x1b[0m", "wg0.conf:2: PostUp: ", "control character"},
        BadInput{"[Interface]\nMTU", "wg0.conf:2: MTU: ", "no '='"},
        BadInput{"MTU = 1420", "wg0.conf:1: MTU: ", "before any section"},
        BadInput{"[Interface]\n[Interface]", "wg0.conf:2: ", "second [Interface]"},
        BadInput{"[Server]", "wg0.conf:1: ", "unknown section '[Server]'"},
        BadInput{"[Interface]\nAllowLan = 203.0.113.0/24", "wg0.conf:2: AllowLan: ", "not a private network"},
        BadInput{"[Interface]\nAllowLan = 0.0.0.0/0", "wg0.conf:2: AllowLan: ", "inside 10.0.0.0/8"},
        BadInput{"[Interface]\nKillSwitch = maybe", "wg0.conf:2: KillSwitch: ", "true or false"},
        BadInput{"[Interface]\nMasquerade = eth0;x", "wg0.conf:2: Masquerade: ", "not an interface's name"},
        BadInput{"[Interface]\nTunnelCgroup = ../x",
                 "wg0.conf:2: TunnelCgroup: ", "not the path of a cgroup"},
        BadInput{"[Interface]\nAllowLan = 10.0.0.5/16", "wg0.conf:2: AllowLan: ", "write 10.0.0.0/16"},
        BadInput{"[Peer]\nPublicKey = $A\nAllowedIPs = fd00::/129", "wg0.conf:3: AllowedIPs: ", "0 to 128"},
        BadInput{"[Peer]\n\nAllowedIPs = 10.0.0.0/16\n[Peer]\nPublicKey = $A",
                 "wg0.conf:1: PublicKey: ", "missing"},
        BadInput{"[Peer]\nPublicKey = $A\n[Peer]\nPublicKey = $A",
                 "wg0.conf:3: PublicKey: ", "peer at line 1"},
        BadInput{"[Peer]\nEndpoint = 2001:db8::1:51820", "wg0.conf:2: Endpoint: ", "brackets"},
        BadInput{"[Peer]\nEndpoint = vpn.example.org", "wg0.conf:2: Endpoint: ", "host:port"},
        BadInput{"[Peer]\nEndpoint = vpn.example.org:0", "wg0.conf:2: Endpoint: ", "host:port"},
        BadInput{"[Peer]\nPersistentKeepalive = 65536", "wg0.conf:2: PersistentKeepalive: ", "65535"},
        BadInput{"[Peer]\nCipher = rot13", "wg0.conf:2: Cipher: ", "aes-256-gcm"},
        BadInput{"[Peer]\nRekeyAfterTime = 2h", "wg0.conf:2: RekeyAfterTime: ", "120 s"},
        BadInput{"[Peer]\nRekeyAfterBytes = lots", "wg0.conf:2: RekeyAfterBytes: ", "64MB"}));

TEST(Ini, NeverShowsAKeyInAnError) {
  const std::string nearly = std::string(kKeyA).substr(0, 43) + "!";
  EXPECT_EQ(error_of("[Interface]\nPrivateKey = " + nearly).find(nearly), std::string::npos);
  for (const std::string line : {"PrivateKey $A", "PrivateKey: $A", "$A", "PrivateKey $A = x"}) {
    for (const std::string before : {"", "[Interface]\n"}) {
      EXPECT_EQ(error_of(before + line).find(std::string(kKeyA).substr(0, 4)), std::string::npos) << line;
    }
  }
}

std::vector<std::string> errors_of(const std::string& text) {
  std::vector<std::string> errors;
  for (const Error& error : find_ini_errors(replaced(text), "wg0.conf")) {
    errors.push_back(error.where + ":" + std::to_string(error.line) + " " + error.key);
  }
  return errors;
}

TEST(IniErrors, AreAllFoundInTheOrderOfTheirLines) {
  EXPECT_THAT(errors_of("[Interface]\nMTU = 1\nDNS = 9.9\n[Peer]\nEndpoint = x\n[Peer]\nPublicKey = $A\n"
                        "PublicKey = $A\n[Peer]\nPublicKey = $A\nCipher = none\n"),
              ElementsAre("wg0.conf:2 MTU", "wg0.conf:3 DNS", "wg0.conf:4 PublicKey", "wg0.conf:5 Endpoint",
                          "wg0.conf:8 PublicKey", "wg0.conf:9 PublicKey", "wg0.conf:11 Cipher"));
}

TEST(IniErrors, AreNotRepeatedForOneCause) {
  EXPECT_THAT(errors_of("MTU = 1420\nDNS = 9.9.9.9\n"), ElementsAre("wg0.conf:1 MTU"));
  EXPECT_THAT(errors_of("[Server]\nListenPort = x\n[Peer]\nPublicKey = $A\n"), ElementsAre("wg0.conf:1 "));
  EXPECT_THAT(errors_of("[Peer]\nPublicKey = a\n[Peer]\nPublicKey = b\n"),
              ElementsAre("wg0.conf:2 PublicKey", "wg0.conf:4 PublicKey"));
}

TEST(IniErrors, AreNoneExactlyWhereParsingSucceeds) {
  EXPECT_THAT(errors_of(kWhole), testing::IsEmpty());
  EXPECT_THAT(errors_of(""), testing::IsEmpty());
}

TEST(IniErrors, AByteOrderMarkIsPassedOverAndWhatIsNoTextIsSaidToBeNone) {
  EXPECT_EQ(parsed("\xef\xbb\xbf[Interface]\nPrivateKey = $A\n"), parsed("[Interface]\nPrivateKey = $A\n"));
  EXPECT_EQ(error_of(std::string("\xff\xfe[\0I\0n\0", 8)),
            "wg0.conf:1: is no text, or UTF-16; remedy: save it as UTF-8");
  EXPECT_EQ(error_of("[Interface]\n\xc3\xa4\x1b[31m = 1\n"),
            error_of("[Interface]\nabcdefghijklmnopqrstuvw = 1\n"))
      << "bytes that a terminal obeys are not shown";
}

TEST(IniErrors, AnAddressGivenTwice) {
  EXPECT_THAT(error_of("[Interface]\nAddress = 10.0.0.1/24\nAddress = fd00::1, 10.0.0.1/24\n"),
              HasSubstr("wg0.conf:3: Address: '10.0.0.1/24' is given twice; remedy: keep one"));
}

}  // namespace
}  // namespace vpn::config
