#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <qrencode.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "vpn/cli/invitation.h"
#include "vpn/cli/keys.h"
#include "vpn/cli/qr_text.h"
#include "vpn/cli/test_command.h"
#include "vpn/cli/test_daemon.h"
#include "vpn/config/ini.h"
#include "vpn/config/text.h"
#include "vpn/config/uapi.h"

namespace vpn::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr char kServer[] =
    "[Interface]\n# the office\nPrivateKey = dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\nListenPort = "
    "51820\n"
    "Address = 10.0.0.1/29, fd00::1/64\n\n[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n"
    "AllowedIPs = 10.0.0.2/32, fd00::2/128";
constexpr char kServerPublic[] = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";

std::string free_in(const std::string& network, const std::vector<std::string>& taken) {
  std::vector<IpPrefix> prefixes;
  for (const std::string& text : taken) prefixes.push_back(*IpPrefix::parse(text));
  const auto address = next_free_address(*IpPrefix::parse(network), prefixes);
  return address ? address->to_string() : "none";
}

TEST(NextFreeAddress, SkipsWhatIsTaken) {
  EXPECT_EQ(free_in("10.0.0.0/24", {}), "10.0.0.1");
  EXPECT_EQ(free_in("10.0.0.7/24", {"10.0.0.1", "10.0.0.3", "10.0.0.2"}), "10.0.0.4");
  EXPECT_EQ(free_in("10.0.0.0/16", {"10.0.0.0/24"}), "10.0.1.0");
  EXPECT_EQ(free_in("fd00::1/64", {"fd00::1", "fd00::/96"}), "fd00::1:0:0");
  EXPECT_EQ(free_in("10.0.0.0/24", {"0.0.0.0/0", "::/0"}), "10.0.0.1") << "a default route takes no address";
}

TEST(NextFreeAddress, EndsWithTheNetwork) {
  EXPECT_EQ(free_in("10.0.0.0/30", {"10.0.0.1"}), "10.0.0.2");
  EXPECT_EQ(free_in("10.0.0.0/30", {"10.0.0.1", "10.0.0.2"}), "none") << "10.0.0.3 is the broadcast address";
  EXPECT_EQ(free_in("fd00::/126", {"fd00::1", "fd00::2"}), "fd00::3");
  EXPECT_EQ(free_in("10.0.0.0/31", {"10.0.0.0"}), "10.0.0.1");
  EXPECT_EQ(free_in("10.0.0.1/32", {"10.0.0.1"}), "none");
  EXPECT_EQ(free_in("255.255.255.0/24", {"255.255.255.0/24"}), "none");
  EXPECT_EQ(free_in("10.0.0.0/24", {"10.0.0.0/24"}), "none");
}

TEST(ClientFileName, IsAnInterfaceName) {
  Invitation invitation;
  invitation.peer.allowed_ips = {*IpPrefix::parse("10.0.0.3/32")};
  EXPECT_EQ(client_file_name(invitation), "vpn-10.0.0.3.conf");
  for (const auto& [name, file] : {std::pair{"laptop", "laptop.conf"},
                                   {"Ann's new laptop", "Ann-s-new-lapto.conf"},
                                   {"../../etc/x", "..-..-etc-x.conf"},
                                   {"..", "vpn.conf"}}) {
    invitation.peer.name = name;
    EXPECT_EQ(client_file_name(invitation), file);
  }
}

// The modules that a terminal would show, one character each, without the quiet zone.
std::vector<std::string> modules_of(std::string_view text) {
  std::vector<std::string> rows;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() + 1);
    EXPECT_TRUE(line.starts_with("\x1b[30;47m") && line.ends_with("\x1b[0m"));
    line = line.substr(8, line.size() - 12);
    std::string upper, lower;
    while (!line.empty()) {
      const bool block = line.front() != ' ';
      const std::string_view glyph = line.substr(0, block ? 3 : 1);
      upper += glyph == "▀" || glyph == "█" ? '#' : '.';
      lower += glyph == "▄" || glyph == "█" ? '#' : '.';
      line.remove_prefix(glyph.size());
    }
    rows.push_back(upper);
    rows.push_back(lower);
  }
  return rows;
}

TEST(QrText, ShowsEveryModuleOfTheCode) {
  const std::string content = "[Interface]\nPrivateKey = x\n";
  const auto text = qr_text(content);
  ASSERT_TRUE(text.has_value());
  const auto rows = modules_of(text->view());
  QRcode* code = QRcode_encodeData(static_cast<int>(content.size()),
                                   reinterpret_cast<const unsigned char*>(content.data()), 0, QR_ECLEVEL_L);
  const auto width = static_cast<size_t>(code->width);
  ASSERT_GE(rows.size(), width + 8);
  for (size_t row = 0; row < rows.size(); ++row) {
    ASSERT_EQ(rows[row].size(), width + 8);
    for (size_t column = 0; column < rows[row].size(); ++column) {
      const bool inside = row >= 4 && column >= 4 && row < width + 4 && column < width + 4;
      const bool dark = inside && (code->data[(row - 4) * width + column - 4] & 1) != 0;
      ASSERT_EQ(rows[row][column], dark ? '#' : '.') << row << ", " << column;
    }
  }
  QRcode_free(code);
}

TEST(QrText, RefusesWhatIsTooLong) {
  EXPECT_THAT(qr_text(std::string(3000, 'x')).error().to_string(), HasSubstr("3000 bytes do not fit"));
}

class Invite : public testing::Test {
 protected:
  CommandResult invite(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"invite",   file_,   "--socket-dir", folder_.path(""),
                                          "--output", output_, "--endpoint",   "vpn.example.org"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_vpn(arguments);
  }
  config::Config parsed(const std::string& name) {
    auto config = config::parse_ini(folder_.read(name), name);
    EXPECT_TRUE(config.has_value()) << config.error().to_string();
    return config.value_or(config::Config{});
  }
  std::string report_of_server() {
    config::DeviceReport report;
    report.private_key = config::key_from_base64("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=");
    report.peers.emplace_back().allowed_ips = {*IpPrefix::parse("10.0.0.3/32")};
    return config::emit_get(report) + "errno=0\n\n";
  }
  void expect_nothing_done() {
    EXPECT_EQ(folder_.read("wg0.conf"), kServer);
    EXPECT_FALSE(std::filesystem::exists(output_));
  }

  const TestFolder folder_;
  const std::string file_ = folder_.write("wg0.conf", kServer);
  const std::string output_ = folder_.path("client.conf");
};

TEST_F(Invite, WritesAFileForTheClientAndAPeerForTheServer) {
  const CommandResult result = invite();
  EXPECT_EQ(result.exit_code, kFine) << result.err;
  const config::Config client = parsed("client.conf");
  const config::Config server = parsed("wg0.conf");
  ASSERT_EQ(client.peers.size(), 1u);
  ASSERT_EQ(server.peers.size(), 2u);
  EXPECT_EQ(config::to_base64(client.peers[0].public_key.bytes), kServerPublic);
  EXPECT_EQ(client.peers[0].endpoints.front().to_string(), "vpn.example.org:51820");
  EXPECT_THAT(client.peers[0].allowed_ips,
              ElementsAre(*IpPrefix::parse("10.0.0.0/29"), *IpPrefix::parse("fd00::/64")));
  EXPECT_EQ(client.peers[0].persistent_keepalive, 25);
  EXPECT_THAT(client.interface.addresses,
              ElementsAre(*IpPrefix::parse("10.0.0.3/32"), *IpPrefix::parse("fd00::3/128")));
  EXPECT_EQ(server.peers[1].allowed_ips, client.interface.addresses);
  EXPECT_EQ(server.peers[1].public_key, *public_key_of(client.interface.private_key));
  ASSERT_TRUE(server.peers[1].preshared_key.has_value());
  EXPECT_EQ(server.peers[1].preshared_key, client.peers[0].preshared_key);
  EXPECT_THAT(folder_.read("wg0.conf"), StartsWith(std::string(kServer) + "\n\n[Peer]\n"))
      << "the rest stays, comments too";
  struct stat status {};
  ASSERT_EQ(stat(output_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(Invite, PrintsNoSecret) {
  const CommandResult result = invite();
  const config::Config client = parsed("client.conf");
  for (const auto& secret : {client.interface.private_key, client.peers[0].preshared_key}) {
    EXPECT_THAT(result.out + result.err, Not(HasSubstr(config::to_base64(secret->view()))));
  }
  EXPECT_THAT(result.out, Not(HasSubstr("▀"))) << "a QR code, where no terminal is";
  EXPECT_THAT(run_vpn({"invite", file_, "--socket-dir", folder_.path(""), "-o", folder_.path("b.conf"),
                       "--endpoint", "h", "--qr", "always"})
                  .out,
              HasSubstr("▀"));
}

TEST_F(Invite, GivesEachItsOwnAddressUntilTheNetworkIsFull) {
  for (const char* name : {"a.conf", "b.conf", "c.conf", "d.conf"}) {
    EXPECT_EQ(run_vpn({"invite", file_, "--socket-dir", folder_.path(""), "-o", folder_.path(name),
                       "--endpoint", "h"})
                  .exit_code,
              kFine);
  }
  EXPECT_THAT(parsed("d.conf").interface.addresses.front().to_string(), "10.0.0.6/32");
  const std::string before = folder_.read("wg0.conf");
  const CommandResult full = invite();
  EXPECT_EQ(full.exit_code, kFailure);
  EXPECT_THAT(full.err, HasSubstr("no free address in 10.0.0.0/29"));
  EXPECT_EQ(folder_.read("wg0.conf"), before);
}

TEST_F(Invite, LosesNobodyWhenManyInviteAtOnce) {
  folder_.write("wg0.conf",
                "[Interface]\nPrivateKey = dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\nListenPort=1\n"
                "Address = 10.0.0.1/24\n");
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      const std::string output = folder_.path(std::to_string(i) + ".conf");
      EXPECT_EQ(run_vpn({"invite", file_, "--socket-dir", folder_.path(""), "-o", output, "--endpoint", "h"})
                    .exit_code,
                kFine);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const config::Config server = parsed("wg0.conf");
  EXPECT_EQ(server.peers.size(), 16u);
  std::set<IpPrefix> addresses;
  for (const auto& peer : server.peers) addresses.insert(peer.allowed_ips.front());
  EXPECT_EQ(addresses.size(), 16u);
}

TEST_F(Invite, TellsTheRunningDaemonAndMindsItsPeers) {
  const TestDaemon daemon(folder_.path("wg0.sock"), [&](const std::string& request) {
    return request.starts_with("get") ? report_of_server() : "errno=0\n\n";
  });
  EXPECT_EQ(invite({"--name", "laptop"}).exit_code, kFine);
  const config::Config server = parsed("wg0.conf");
  EXPECT_EQ(server.peers.at(1).name, "laptop");
  EXPECT_EQ(server.peers.at(1).allowed_ips.front().to_string(), "10.0.0.4/32") << "10.0.0.3 is the daemon's";
  ASSERT_EQ(daemon.requests().size(), 2u);
  const auto change = config::parse_set(daemon.requests()[1].substr(6, daemon.requests()[1].size() - 7));
  ASSERT_TRUE(change.has_value());
  EXPECT_EQ(change->peers.at(0).public_key, server.peers.at(1).public_key);
  EXPECT_EQ(change->peers.at(0).preshared_key, server.peers.at(1).preshared_key);
  EXPECT_EQ(change->peers.at(0).allowed_ips.at(0).prefix.to_string(), "10.0.0.4/32");
}

TEST_F(Invite, LeavesNothingHalfDoneWhenTheDaemonRefuses) {
  const TestDaemon daemon(folder_.path("wg0.sock"), [&](const std::string& request) {
    return request.starts_with("get") ? report_of_server() : "errno=-22\n\n";
  });
  const CommandResult result = invite();
  EXPECT_EQ(result.exit_code, kFailure);
  EXPECT_THAT(result.err, HasSubstr("the daemon refused"));
  expect_nothing_done();
}

TEST_F(Invite, RefusesADaemonWithAnotherKey) {
  const TestDaemon daemon(folder_.path("wg0.sock"), [](const std::string&) { return "errno=0\n\n"; });
  EXPECT_THAT(invite().err, HasSubstr("another private key"));
  expect_nothing_done();
  EXPECT_EQ(invite({"--only-file"}).exit_code, kFine);
}

TEST_F(Invite, RefusesBadInputWithOneLine) {
  const std::vector<std::pair<std::vector<std::string>, const char*>> wrong = {
      {{"--address", "10.0.0"}, "'10.0.0' is not an IP address"},
      {{"--address", "10.0.0.2"}, "10.0.0.2 is taken"},
      {{"--allowed-ips", "10.0.0.0/40"}, "is not a network"},
      {{"--dns", "nowhere"}, "is not an IP address"},
      {{"--name", "a\nb"}, "--name"},
      {{"--only-daemon"}, "no daemon serves"},
      {{"--output", file_}, "File exists"},
      {{"--output", folder_.path("no/where.conf")}, "cannot be written"}};
  for (const auto& [arguments, says] : wrong) {
    std::vector<std::string> all = {"invite", file_, "--socket-dir", folder_.path(""), "--endpoint", "h"};
    if (arguments.front() != "--output") all.insert(all.end(), {"--output", output_});
    all.insert(all.end(), arguments.begin(), arguments.end());
    const CommandResult result = run_vpn(all);
    EXPECT_EQ(result.exit_code, kFailure) << says;
    EXPECT_THAT(result.err, HasSubstr(says));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
    expect_nothing_done();
  }
  EXPECT_THAT(run_vpn({"invite", file_, "--endpoint", "a b", "--only-file"}).err,
              HasSubstr("is not an endpoint"));
  EXPECT_EQ(invite({"--full-tunnel", "--allowed-ips", "10.0.0.0/8"}).exit_code, kUsage);
  EXPECT_EQ(invite({"--qr", "sometimes"}).exit_code, kUsage);
  expect_nothing_done();
}

TEST_F(Invite, TakesListsBeforeTheFileToo) {
  const CommandResult result =
      run_vpn({"invite", "--address", "10.0.0.5", "--address", "fd00::9", "--dns", "9.9.9.9,::1",
               "--full-tunnel", file_, "--only-file", "-o", output_, "--endpoint", "[::1]:1"});
  EXPECT_EQ(result.exit_code, kFine) << result.err;
  const config::Config client = parsed("client.conf");
  EXPECT_THAT(client.interface.addresses,
              ElementsAre(*IpPrefix::parse("10.0.0.5"), *IpPrefix::parse("fd00::9")));
  EXPECT_EQ(client.interface.dns.size(), 2u);
  EXPECT_THAT(client.peers.at(0).allowed_ips,
              ElementsAre(*IpPrefix::parse("0.0.0.0/0"), *IpPrefix::parse("::/0")));
}

TEST_F(Invite, KeepsTheServersFileAsItIsOwned) {
  ASSERT_EQ(chmod(file_.c_str(), 0640), 0);
  std::filesystem::create_symlink(file_, folder_.path("wg1.conf"));
  EXPECT_EQ(run_vpn({"invite", folder_.path("wg1.conf"), "--only-file", "-o", output_, "--endpoint", "h"})
                .exit_code,
            kFine);
  struct stat status {};
  ASSERT_EQ(stat(file_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
  EXPECT_TRUE(std::filesystem::is_symlink(folder_.path("wg1.conf")));
  EXPECT_EQ(parsed("wg0.conf").peers.size(), 2u);
}

}  // namespace
}  // namespace vpn::cli
