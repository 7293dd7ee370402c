#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "vpn/cli/human_text.h"
#include "vpn/cli/test_command.h"
#include "vpn/cli/test_daemon.h"
#include "vpn/cli/test_report.h"
#include "vpn/cli/watch_frame.h"

namespace vpn::cli {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

WatchSample sample_at(seconds time, const config::DeviceReport& report) {
  WatchSample sample;
  sample.taken = Instant(time);
  sample.unix_seconds = kExampleTime;
  sample.reports = {{"wg0", report}};
  return sample;
}

config::DeviceReport later_report() {
  config::DeviceReport report = example_report();
  report.peers[1].received_bytes += 2 * 1024 * 1024;
  report.peers[1].sent_bytes += 200;
  report.counters[1].second += 10;
  return report;
}

std::vector<std::string> lines_of(const std::string& frame) {
  std::vector<std::string> lines;
  std::istringstream text(frame);
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

TEST(WatchFrame, ShowsPeersRatesHandshakesAndDrops) {
  const WatchSample before = sample_at(seconds(100), example_report());
  const WatchSample now = sample_at(seconds(102), later_report());
  EXPECT_EQ(watch_frame(&before, now, {120, 0, false}),
            R"(wg0  vpn 0.1.0  port 51820  2 peers  tun: tso uso  udp: gso gro
in 1.00 MiB/s  out 100 B/s  received 6.77 MiB  sent 1.17 KiB

PEER             ENDPOINT              HANDSHAKE            IN           OUT    RECEIVED        SENT
laptop           192.0.2.3:40000       1m 03s       1.00 MiB/s       100 B/s    6.77 MiB    1.17 KiB
yAnz5TF+…Bmk=    -                     never             0 B/s         0 B/s         0 B         0 B

DROPPED                   PACKETS        NOW WHY
replayed                       22        5/s the counter was seen before, or is below the replay window
bad_mac1                        3        0/s mac1 does not verify: the sender does not know our public key
of_the_future                   2        0/s
send_no_buffer                  1        0/s the kernel had no room to send
)");
}

TEST(WatchFrame, HasNoRatesWithoutAnEarlierSample) {
  const WatchSample now = sample_at(seconds(100), example_report());
  EXPECT_THAT(watch_frame(nullptr, now, {}), HasSubstr("in -  out -"));
  EXPECT_THAT(watch_frame(&now, now, {}), HasSubstr("in -  out -")) << "no time between the two";
}

TEST(WatchFrame, TakesADaemonStartedAnewForNoTraffic) {
  const WatchSample before = sample_at(seconds(100), later_report());
  const WatchSample now = sample_at(seconds(101), example_report());
  EXPECT_THAT(watch_frame(&before, now, {}), HasSubstr("in -  out -"));
}

TEST(WatchFrame, FitsTheTerminal) {
  config::DeviceReport report = later_report();
  report.peers.resize(200, report.peers.front());
  for (const size_t width : {1u, 7u, 40u, 80u}) {
    for (const size_t height : {1u, 5u, 12u, 24u}) {
      const auto lines =
          lines_of(watch_frame(nullptr, sample_at(seconds(1), report), {width, height, false}));
      EXPECT_LE(lines.size(), height);
      for (const std::string& line : lines) EXPECT_LE(display_width(line), width) << line;
    }
  }
  const std::string frame = watch_frame(nullptr, sample_at(seconds(1), report), {80, 24, false});
  EXPECT_THAT(frame, HasSubstr("… and 187 more peers"));
  EXPECT_THAT(frame, HasSubstr("bad_mac1")) << "many peers do not hide the drops";
}

TEST(WatchFrame, IsColouredOnlyWhereAsked) {
  const WatchSample now = sample_at(seconds(1), example_report());
  EXPECT_THAT(watch_frame(nullptr, now, {80, 0, false}), Not(HasSubstr("\x1b")));
  EXPECT_THAT(watch_frame(nullptr, now, {80, 0, true}), HasSubstr("\x1b[1m"));
}

TEST(WatchFrame, SaysWhatDoesNotAnswer) {
  WatchSample now;
  EXPECT_THAT(watch_frame(nullptr, now, {}), HasSubstr("no interface"));
  now.failures.push_back({"wg0", 0, "", "no daemon serves this interface", "start it"});
  EXPECT_EQ(watch_frame(nullptr, now, {}), "wg0: no daemon serves this interface; remedy: start it\n");
}

TEST(WatchVerb, PrintsOnePictureWhereNoTerminalIs) {
  const TestFolder folder;
  const std::string answer = config::emit_get(example_report()) + "errno=0\n\n";
  const TestDaemon daemon(folder.path("wg0.sock"), [&](const std::string&) { return answer; });
  const CommandResult result = run_vpn({"watch", "wg0", "--socket-dir", folder.path("")});
  EXPECT_EQ(result.exit_code, kFine);
  EXPECT_THAT(result.out, testing::StartsWith("wg0  vpn 0.1.0"));
  EXPECT_EQ(daemon.requests().size(), 1u);
  EXPECT_EQ(run_vpn({"watch", "wg1", "--once", "--socket-dir", folder.path("")}).exit_code, kFailure);
  EXPECT_EQ(run_vpn({"watch", "--interval", "0"}).exit_code, kUsage);
}

}  // namespace
}  // namespace vpn::cli
