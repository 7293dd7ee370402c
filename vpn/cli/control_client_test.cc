#include "vpn/cli/control_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vpn/cli/test_command.h"
#include "vpn/cli/test_daemon.h"
#include "vpn/cli/test_report.h"

namespace vpn::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// One interface, wg0, whose daemon gives one fixed answer.
class ControlClientTest : public testing::Test {
 protected:
  Result<config::DeviceReport, Error> get_with_answer(const std::string& answer) {
    const TestFolder folder;
    const TestDaemon daemon(folder.path("wg0.sock"), [&](const std::string&) { return answer; });
    return ControlClient(folder.path("")).get("wg0");
  }
};

TEST_F(ControlClientTest, ReadsAReport) {
  const auto report = get_with_answer(config::emit_get(example_report()) + "errno=0\n\n");
  ASSERT_TRUE(report.has_value()) << report.error().to_string();
  EXPECT_EQ(*report, example_report());
}

TEST_F(ControlClientTest, ReadsAReportOfThousandsOfPeers) {
  config::DeviceReport many = example_report();
  many.peers.resize(5000, many.peers.back());
  const auto report = get_with_answer(config::emit_get(many) + "errno=0\n\n");
  ASSERT_TRUE(report.has_value()) << report.error().to_string();
  EXPECT_EQ(*report, many);
}

TEST_F(ControlClientTest, PassesARefusalOn) {
  const auto refused = get_with_answer("errno=1\n\n");
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().to_string(), HasSubstr("wg0: the daemon refused: Operation not permitted"));
  const auto explained = get_with_answer("error=wg0.conf:3: MTU: too small\nerrno=22\n\n");
  ASSERT_FALSE(explained.has_value());
  EXPECT_EQ(explained.error().to_string(), "wg0.conf:3: MTU: too small");
}

TEST_F(ControlClientTest, RefusesWhatIsNoAnswer) {
  for (const std::string answer : {"", "\n\n", "listen_port=1\n\n", "errno=\n\n", "errno=x\n\n", "errno=0",
                                   "errno=0\n", "errno=99999999999999\n\n", "listen_port=x\nerrno=0\n\n",
                                   "no equals\nerrno=0\n\n", "HTTP/1.1 200 OK\r\n\r\n\n\n"}) {
    const auto report = get_with_answer(answer);
    ASSERT_FALSE(report.has_value()) << answer;
    EXPECT_THAT(report.error().to_string(), HasSubstr("; remedy: "));
  }
}

TEST_F(ControlClientTest, SendsAWholeRequest) {
  const TestFolder folder;
  const TestDaemon daemon(folder.path("wg0.sock"), [](const std::string&) { return "errno=0\n\n"; });
  config::DeviceChange change;
  change.listen_port = 1234;
  ASSERT_TRUE(ControlClient(folder.path("")).set("wg0", change).has_value());
  ASSERT_TRUE(ControlClient(folder.path("")).reload("wg0").has_value());
  ASSERT_TRUE(ControlClient(folder.path("")).stop("wg0").has_value());
  EXPECT_THAT(daemon.requests(), ElementsAre("set=1\nlisten_port=1234\n\n", "reload=1\n\n", "stop=1\n\n"));
}

TEST_F(ControlClientTest, SaysThatNoDaemonIsThere) {
  const TestFolder folder;
  const ControlClient client(folder.path(""));
  EXPECT_EQ(client.get("wg0").error().to_string(),
            "wg0: no daemon serves this interface; remedy: start it with 'vpn up wg0'");
  EXPECT_THAT(client.get("../wg0").error().to_string(), HasSubstr("not an interface name"));
  EXPECT_THAT(ControlClient(folder.path(std::string(200, 'x'))).get("wg0").error().to_string(),
              HasSubstr("too long"));
}

TEST_F(ControlClientTest, ListsOnlyInterfacesWithADaemon) {
  const TestFolder folder;
  const ControlClient client(folder.path(""));
  EXPECT_THAT(ControlClient(folder.path("absent")).interfaces(), IsEmpty());
  folder.write("notes.txt", "");
  {
    // A socket whose daemon has died.
    const TestDaemon dead(folder.path("wg9.sock"), [](const std::string&) { return ""; });
  }
  const TestDaemon second(folder.path("wg1.sock"), [](const std::string&) { return ""; });
  const TestDaemon first(folder.path("wg0.sock"), [](const std::string&) { return ""; });
  EXPECT_THAT(client.interfaces(), ElementsAre("wg0", "wg1"));
}

}  // namespace
}  // namespace vpn::cli
