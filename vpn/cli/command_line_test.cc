#include "vpn/cli/command_line.h"
#include "vpn/base/version.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "vpn/cli/test_command.h"
#include "vpn/config/text.h"

namespace vpn::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

bool is_one_line(const std::string& text) {
  return !text.empty() && text.back() == '\n' && std::count(text.begin(), text.end(), '\n') == 1;
}

TEST(CommandLine, ShowsHelpForEverything) {
  EXPECT_THAT(run_vpn({"--help"}).out, HasSubstr("Usage: vpn"));
  for (const char* verb : {"daemon", "up", "down", "reload", "show", "watch", "invite", "genkey", "pubkey",
                           "genpsk", "check", "completions"}) {
    EXPECT_THAT(run_vpn({"--help"}).out, HasSubstr(verb));
    const CommandResult result = run_vpn({verb, "--help"});
    EXPECT_EQ(result.exit_code, kFine) << verb;
    EXPECT_THAT(result.out, HasSubstr(std::string("Usage: vpn ") + verb));
    EXPECT_THAT(result.err, IsEmpty());
  }
}

TEST(CommandLine, PrintsCompletionsForEachShell) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const CommandResult result = run_vpn({"completions", shell});
    EXPECT_EQ(result.exit_code, kFine);
    for (const char* word : {"genkey", "socket-dir", "auto"})
      EXPECT_THAT(result.out, HasSubstr(word)) << shell;
  }
  EXPECT_EQ(run_vpn({"completions", "tcsh"}).exit_code, kUsage);
}

TEST(CommandLine, ShowsItsVersion) {
  const CommandResult result = run_vpn({"--version"});
  EXPECT_EQ(result.exit_code, kFine);
  EXPECT_EQ(result.out, "vpn " + std::string(version()) + "\n");
}

TEST(CommandLine, AnswersAWrongCommandLineWithOneLineAndExitCode2) {
  const std::vector<std::vector<std::string>> wrong = {
      {}, {"dance"}, {"check"}, {"genkey", "--loud"}, {"check", "a", "b"}, {"--nothing"}};
  for (const auto& arguments : wrong) {
    const CommandResult result = run_vpn(arguments);
    EXPECT_EQ(result.exit_code, kUsage);
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_TRUE(is_one_line(result.err)) << result.err;
    EXPECT_THAT(result.err, HasSubstr("--help"));
  }
  EXPECT_THAT(run_vpn({"check"}).err, StartsWith("vpn check: "));
}

TEST(CommandLine, SaysWhenItsOutputIsLost) {
  std::istringstream in;
  std::ostringstream out, err;
  out.setstate(std::ios::badbit);
  Io io{in, out, err};
  EXPECT_EQ(run_command_line({"genkey"}, io), kFailure);
  EXPECT_TRUE(is_one_line(err.str()));
}

TEST(CommandLine, StandsInForAWireGuardDaemonWithOneInterface) {
  for (const std::vector<std::string>& wrong : {std::vector<std::string>{}, {"--help"}, {"wg0", "wg1"}}) {
    std::istringstream in;
    std::ostringstream out, err;
    Io io{in, out, err};
    EXPECT_EQ(run_stand_in(wrong, io), kUsage);
    EXPECT_TRUE(is_one_line(err.str()));
  }
}

// RFC 7748 section 6.1, in base64.
constexpr char kAlicePrivate[] = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
constexpr char kAlicePublic[] = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";

TEST(Keys, PubkeyMatchesTheRfc) {
  for (const std::string around : {"", "\n", "\r\n", "  \n\n"}) {
    const CommandResult result = run_vpn({"pubkey"}, kAlicePrivate + around);
    EXPECT_EQ(result.exit_code, kFine);
    EXPECT_EQ(result.out, std::string(kAlicePublic) + "\n");
  }
}

TEST(Keys, PubkeyRefusesWhatIsNoKeyWithoutShowingIt) {
  const std::string unclean = std::string(kAlicePrivate).replace(10, 1, "!");
  for (const std::string& input : {std::string(), std::string("abc"), unclean,
                                   kAlicePrivate + std::string("\nmore"), std::string(10000, 'A')}) {
    const CommandResult result = run_vpn({"pubkey"}, input);
    EXPECT_EQ(result.exit_code, kFailure);
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_TRUE(is_one_line(result.err)) << result.err;
    EXPECT_THAT(result.err, HasSubstr("; remedy: "));
    EXPECT_THAT(result.err, Not(HasSubstr(std::string(kAlicePrivate).substr(0, 8))));
  }
}

TEST(Keys, GenkeyPrintsAClampedKeyThatPubkeyTakes) {
  const CommandResult first = run_vpn({"genkey"});
  EXPECT_EQ(first.exit_code, kFine);
  ASSERT_EQ(first.out.size(), 45u);
  const auto key = config::key_from_base64(first.out.substr(0, 44));
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(key->view()[0] & 7, 0);
  EXPECT_EQ(key->view()[31] & 0xc0, 0x40);
  EXPECT_EQ(run_vpn({"pubkey"}, first.out).exit_code, kFine);
  EXPECT_NE(run_vpn({"genkey"}).out, first.out);
}

TEST(Keys, GenpskPrintsAKey) {
  const CommandResult first = run_vpn({"genpsk"});
  ASSERT_EQ(first.out.size(), 45u);
  EXPECT_TRUE(config::key_from_base64(first.out.substr(0, 44)).has_value());
  EXPECT_NE(run_vpn({"genpsk"}).out, first.out);
}

TEST(Check, AcceptsAGoodFile) {
  const TestFolder folder;
  const std::string file = folder.write(
      "wg0.conf",
      "[Interface]\nPrivateKey = " + std::string(kAlicePrivate) +
          "\n[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\nAllowedIPs = 10.0.0.2/32\n");
  const CommandResult result = run_vpn({"check", file});
  EXPECT_EQ(result.exit_code, kFine);
  EXPECT_EQ(result.out, file + ": fine, 1 peer\n");
  EXPECT_THAT(result.err, IsEmpty());
}

TEST(Check, PrintsEveryErrorWithItsPlace) {
  const TestFolder folder;
  const std::string file =
      folder.write("wg0.conf", "[Interface]\nMTU = 1\nPrivatKey = x\n\n[Peer]\nEndpoint = 1.2.3.4\n");
  const CommandResult result = run_vpn({"check", file});
  EXPECT_EQ(result.exit_code, kFailure);
  EXPECT_THAT(result.out, IsEmpty());
  std::vector<std::string> lines;
  std::istringstream text(result.err);
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  EXPECT_THAT(lines, ElementsAre(StartsWith(file + ":2: MTU: "), StartsWith(file + ":3: PrivatKey: "),
                                 StartsWith(file + ":5: PublicKey: "), StartsWith(file + ":6: Endpoint: ")));
  EXPECT_THAT(lines, testing::Each(HasSubstr("; remedy: ")));
}

TEST(Check, WarnsOfAFileThatOthersMayRead) {
  const TestFolder folder;
  const std::string file =
      folder.write("wg0.conf", "[Interface]\nPrivateKey = " + std::string(kAlicePrivate) + "\n");
  ASSERT_EQ(chmod(file.c_str(), 0644), 0);
  const CommandResult result = run_vpn({"check", file});
  EXPECT_EQ(result.exit_code, kFine);
  EXPECT_EQ(result.err,
            "warning: " + file + ": holds keys, and everyone may open it; remedy: chmod 600 " + file + "\n");
}

TEST(Check, SaysInOneLineWhyAFileCannotBeRead) {
  const TestFolder folder;
  ASSERT_EQ(mkfifo(folder.path("pipe.conf").c_str(), 0600), 0);
  for (const std::string& file : {folder.path("absent.conf"), folder.path(""), folder.path("pipe.conf")}) {
    const CommandResult result = run_vpn({"check", file});
    EXPECT_EQ(result.exit_code, kFailure);
    EXPECT_TRUE(is_one_line(result.err)) << result.err;
    EXPECT_THAT(result.err, HasSubstr(file));
  }
}

}  // namespace
}  // namespace vpn::cli
