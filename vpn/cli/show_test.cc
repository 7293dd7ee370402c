#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "vpn/cli/human_text.h"
#include "vpn/cli/show_text.h"
#include "vpn/cli/test_command.h"
#include "vpn/cli/test_daemon.h"
#include "vpn/cli/test_report.h"

namespace vpn::cli {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kSecretBase64[] = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";

TEST(Show, ReadsLikeWgShow) {
  EXPECT_EQ(show_text("wg0", example_report(), kExampleTime), R"(interface: wg0
  public key: hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=
  private key: (hidden)
  listening port: 51820
  fwmark: 0xca6c
  daemon: vpn 0.1.0
  tun offload: tso uso
  udp offload: gso gro
  dropped: 12 replayed (the counter was seen before, or is below the replay window)
  dropped: 3 bad_mac1 (mac1 does not verify: the sender does not know our public key)
  dropped: 2 of_the_future
  dropped: 1 send_no_buffer (the kernel had no room to send)

peer: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
  name: laptop
  preshared key: (hidden)
  endpoint: 192.0.2.3:40000
  allowed ips: 10.0.0.2/32, fd00::2/128
  latest handshake: 1 minute, 3 seconds ago
  transfer: 4.77 MiB received, 1000 B sent
  persistent keepalive: every 25 seconds
  cipher: aes-256-gcm
  rekey after: 64.00 MiB
  rekey after: 1 minute
  session: previous, 2 minutes, 3 seconds old, as initiator, 77 messages sent
  session: current, 3 seconds old, as responder, 1 message sent
  roamed: 2 times
  waiting for a handshake: 1 packet

peer: yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
  allowed ips: (none)
)");
}

TEST(Show, SaysLittleOfABareInterface) {
  EXPECT_EQ(show_text("wg0", {}, kExampleTime), "interface: wg0\n");
}

TEST(Show, LetsNoTerminalCodeThrough) {
  config::DeviceReport report = example_report();
  report.version = "\x1b[2J";
  report.counters = {{"drop_\x1b[31m", 1}};
  report.peers[1].name = "a\x1b]0;b\x07";
  EXPECT_THAT(show_text("wg0", report, kExampleTime), Not(HasSubstr("\x1b")));
}

// W5: what existing dashboards know keeps the names that they know.
TEST(Show, TellsMetricsToPrometheus) {
  EXPECT_EQ(show_metrics({{"wg0", example_report()}}),
            R"(# HELP wireguard_sent_bytes_total Bytes sent to the peer.
# TYPE wireguard_sent_bytes_total counter
wireguard_sent_bytes_total{interface="wg0",public_key="yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=",name=""} 0
wireguard_sent_bytes_total{interface="wg0",public_key="xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",name="laptop"} 1000
# HELP wireguard_received_bytes_total Bytes received from the peer.
# TYPE wireguard_received_bytes_total counter
wireguard_received_bytes_total{interface="wg0",public_key="yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=",name=""} 0
wireguard_received_bytes_total{interface="wg0",public_key="xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",name="laptop"} 5000000
# HELP wireguard_latest_handshake_seconds Unix time of the latest handshake; 0: none yet.
# TYPE wireguard_latest_handshake_seconds gauge
wireguard_latest_handshake_seconds{interface="wg0",public_key="yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=",name=""} 0
wireguard_latest_handshake_seconds{interface="wg0",public_key="xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",name="laptop"} 1799999937
# HELP vpn_peer_sessions Sessions whose keys are held: at most 3.
# TYPE vpn_peer_sessions gauge
vpn_peer_sessions{interface="wg0",public_key="yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=",name=""} 0
vpn_peer_sessions{interface="wg0",public_key="xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",name="laptop"} 2
# HELP vpn_peer_staged_packets Packets that wait for a handshake.
# TYPE vpn_peer_staged_packets gauge
vpn_peer_staged_packets{interface="wg0",public_key="yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=",name=""} 0
vpn_peer_staged_packets{interface="wg0",public_key="xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",name="laptop"} 1
# HELP vpn_peer_roamed_total How often the peer's endpoint moved.
# TYPE vpn_peer_roamed_total counter
vpn_peer_roamed_total{interface="wg0",public_key="yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=",name=""} 0
vpn_peer_roamed_total{interface="wg0",public_key="xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",name="laptop"} 2
# HELP vpn_dropped_packets_total Packets and messages dropped, by the reason: see protocol.md.
# TYPE vpn_dropped_packets_total counter
vpn_dropped_packets_total{interface="wg0",reason="bad_mac1"} 3
vpn_dropped_packets_total{interface="wg0",reason="replayed"} 12
vpn_dropped_packets_total{interface="wg0",reason="no_route"} 0
vpn_dropped_packets_total{interface="wg0",reason="of_the_future"} 2
# HELP vpn_events_total What else the data path counts: datagrams sent, and what the kernel refused or lost.
# TYPE vpn_events_total counter
vpn_events_total{interface="wg0",event="sent_datagrams"} 99
vpn_events_total{interface="wg0",event="send_no_buffer"} 1
)");
}

// A name is anybody's text: it must not end its label, nor its line.
TEST(Show, QuotesNamesInMetrics) {
  config::DeviceReport report = example_report();
  report.peers[1].name = "a\"} 1\nb\\";
  EXPECT_THAT(show_metrics({{"wg0", report}}), HasSubstr(R"(name="a\"} 1\nb\\"} 1000)"));
}

constexpr char kExampleJson[] = R"({
  "interfaces": [
    {
      "name": "wg0",
      "public_key": "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=",
      "listen_port": 51820,
      "fwmark": 51820,
      "version": "0.1.0",
      "tun_offload": "tso uso",
      "udp_offload": "gso gro",
      "counters": {
        "drop_bad_mac1": 3,
        "drop_replayed": 12,
        "drop_no_route": 0,
        "sent_datagrams": 99,
        "send_no_buffer": 1,
        "drop_of_the_future": 2
      },
      "peers": [
        {
          "public_key": "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=",
          "name": null,
          "preshared_key_set": false,
          "endpoint": null,
          "allowed_ips": [],
          "latest_handshake": null,
          "received_bytes": 0,
          "sent_bytes": 0,
          "persistent_keepalive": 0,
          "cipher": "chacha20-poly1305",
          "rekey_after_bytes": 0,
          "rekey_after_seconds": 120,
          "staged_packets": 0,
          "roamed_count": 0,
          "sessions": [],
          "endpoint_history": []
        },
        {
          "public_key": "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
          "name": "laptop",
          "preshared_key_set": true,
          "endpoint": "192.0.2.3:40000",
          "allowed_ips": [
            "10.0.0.2/32",
            "fd00::2/128"
          ],
          "latest_handshake": 1799999937,
          "received_bytes": 5000000,
          "sent_bytes": 1000,
          "persistent_keepalive": 25,
          "cipher": "aes-256-gcm",
          "rekey_after_bytes": 67108864,
          "rekey_after_seconds": 60,
          "staged_packets": 1,
          "roamed_count": 2,
          "sessions": [
            {
              "slot": "previous",
              "role": "initiator",
              "age_seconds": 123,
              "sent_messages": 77
            },
            {
              "slot": "current",
              "role": "responder",
              "age_seconds": 3,
              "sent_messages": 1
            }
          ],
          "endpoint_history": [
            {
              "endpoint": "192.0.2.2:40000",
              "since": 1799999500
            }
          ]
        }
      ]
    }
  ]
}
)";

TEST(Show, JsonIsWhole) {
  EXPECT_EQ(show_json({{"wg0", example_report()}}), kExampleJson);
}

TEST(Show, JsonSurvivesANameThatIsNoUtf8) {
  config::DeviceReport report = example_report();
  report.peers[1].name = "\xff\xfe";
  EXPECT_THAT(show_json({{"wg0", report}}), HasSubstr("\"interfaces\""));
}

TEST(ShowVerb, ShowsOneInterfaceOrAll) {
  const TestFolder folder;
  const std::string answer = config::emit_get(example_report()) + "errno=0\n\n";
  const TestDaemon first(folder.path("wg0.sock"), [&](const std::string&) { return answer; });
  const TestDaemon second(folder.path("wg1.sock"), [&](const std::string&) { return answer; });
  const CommandResult one = run_vpn({"show", "wg1", "--socket-dir", folder.path("")});
  EXPECT_EQ(one.exit_code, kFine);
  EXPECT_THAT(one.out, testing::StartsWith("interface: wg1\n"));
  const CommandResult all = run_vpn({"show", "--socket-dir", folder.path("")});
  EXPECT_EQ(all.exit_code, kFine);
  EXPECT_THAT(all.out, testing::AllOf(HasSubstr("interface: wg0\n"), HasSubstr("\n\ninterface: wg1\n")));
  for (const CommandResult& result :
       {one, all, run_vpn({"show", "--json", "--socket-dir", folder.path("")})}) {
    EXPECT_THAT(result.out, Not(HasSubstr(kSecretBase64)));
    EXPECT_THAT(result.err, IsEmpty());
  }
}

TEST(ShowVerb, FailsWhereThereIsNoDaemonOrABrokenOne) {
  const TestFolder folder;
  const CommandResult none = run_vpn({"show", "wg0", "--socket-dir", folder.path("")});
  EXPECT_EQ(none.exit_code, kFailure);
  EXPECT_THAT(none.out, IsEmpty());
  EXPECT_EQ(none.err, "vpn: wg0: no daemon serves this interface; remedy: start it with 'vpn up wg0'\n");
  EXPECT_EQ(run_vpn({"show", "--socket-dir", folder.path("")}).exit_code, kFine)
      << "nothing to show is no failure";

  const TestDaemon broken(folder.path("wg0.sock"), [](const std::string&) { return "nonsense\n\n"; });
  const TestDaemon sound(folder.path("wg1.sock"),
                         [](const std::string&) { return "listen_port=1\nerrno=0\n\n"; });
  const CommandResult some = run_vpn({"show", "--socket-dir", folder.path("")});
  EXPECT_EQ(some.exit_code, kFailure);
  EXPECT_THAT(some.out, HasSubstr("interface: wg1")) << "one broken daemon does not hide the others";
  EXPECT_THAT(some.err, HasSubstr("wg0: "));
}

TEST(ShowVerb, PassesOverADaemonThatEndsMeanwhile) {
  const TestFolder folder;
  const std::string socket = folder.path("wg0.sock");
  const TestDaemon ending(socket, [&](const std::string&) {
    std::filesystem::remove(socket);
    return "";
  });
  const TestDaemon sound(folder.path("wg1.sock"),
                         [](const std::string&) { return "listen_port=1\nerrno=0\n\n"; });
  for (const char* verb : {"show", "watch"}) {
    const CommandResult result = run_vpn({verb, "--socket-dir", folder.path("")});
    EXPECT_EQ(result.exit_code, kFine) << result.err;
    EXPECT_THAT(result.out, HasSubstr("wg1"));
  }
}

TEST(HumanText, WritesBytesAsWgDoes) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(1023), "1023 B");
  EXPECT_EQ(bytes_text(1024), "1.00 KiB");
  EXPECT_EQ(bytes_text(1024 * 1024 - 1), "1024.00 KiB");
  EXPECT_EQ(bytes_text(uint64_t{5} << 40), "5.00 TiB");
  EXPECT_EQ(bytes_text(UINT64_MAX), "16.00 EiB");
}

TEST(HumanText, WritesDurationsAsWgDoes) {
  EXPECT_EQ(duration_text(seconds(0)), "0 seconds");
  EXPECT_EQ(duration_text(seconds(61)), "1 minute, 1 second");
  EXPECT_EQ(duration_text(seconds(365 * 86400 + 2 * 86400 + 3600)), "1 year, 2 days, 1 hour");
  EXPECT_EQ(ago_text(seconds(0)), "now");
  EXPECT_EQ(ago_text(seconds(120)), "2 minutes ago");
  EXPECT_THAT(ago_text(seconds(-1)), HasSubstr("future"));
  EXPECT_EQ(short_duration_text(seconds(59)), "59s");
  EXPECT_EQ(short_duration_text(seconds(185)), "3m 05s");
  EXPECT_EQ(short_duration_text(seconds(7800)), "2h 10m");
  EXPECT_EQ(short_duration_text(seconds(86400 * 12)), "12d");
}

}  // namespace
}  // namespace vpn::cli
