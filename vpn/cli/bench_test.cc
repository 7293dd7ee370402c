// `vpn bench`: its report, and the ciphers alone. What needs namespaces is tested by
// vpn/tests/test_vpn_bench.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "vpn/cli/bench_crypto.h"
#include "vpn/cli/bench_report.h"
#include "vpn/cli/test_command.h"

namespace vpn::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

BenchFigures example() {
  BenchFigures figures;
  figures.processor = "A processor";
  figures.cores = 2;
  figures.kernel = "6.12";
  figures.ciphers = {{"AES-256-GCM", "ipsec-mb", 142, 284}};
  PathFigures plain;
  plain.tcp_gbit = 12;
  plain.ping_ms = 0.02;
  figures.plain = plain;
  PathFigures tunnel{"AES-256-GCM", 6, 150'000, 0.12, 8, 2, "tso uso", "gso gro"};
  figures.tunnels = {tunnel};
  return figures;
}

TEST(BenchReportTest, TextNamesBackendOffloadsAndWhatATunnelAdds) {
  const std::string text = bench_text(example());
  EXPECT_THAT(text,
              HasSubstr("AES-256-GCM          ipsec-mb         142       284          80.00          40.00"));
  EXPECT_THAT(text, HasSubstr("+0.100"));
  EXPECT_THAT(text, HasSubstr("In use: TUN tso uso; UDP gso gro; 2 threads a daemon"));
}

TEST(BenchReportTest, JsonHasWhatTheTextHas) {
  const json report = json::parse(bench_json(example()));
  EXPECT_EQ(report["schema"], "vpn-bench/1");
  EXPECT_EQ(report["ciphers"][0]["overhead_bytes"], 32);
  EXPECT_DOUBLE_EQ(report["ciphers"][0]["seal_gbit"].get<double>(), 80);
  EXPECT_NEAR(report["tunnels"][0]["ping_added_ms"].get<double>(), 0.1, 1e-9);
  EXPECT_EQ(report["tunnels"][0]["udp_offload"], "gso gro");
}

TEST(BenchReportTest, WithoutTunnelsNothingIsSaidOfThem) {
  BenchFigures figures = example();
  figures.plain.reset();
  EXPECT_THAT(bench_text(figures), Not(HasSubstr("Two hosts")));
  EXPECT_FALSE(json::parse(bench_json(figures)).contains("tunnels"));
}

TEST(BenchReportTest, APathSurvivesItsWayBetweenProcesses) {
  const PathFigures sent = example().tunnels.front();
  const auto heard = path_from_line(path_to_line(sent));
  ASSERT_TRUE(heard);
  EXPECT_EQ(path_to_line(*heard), path_to_line(sent));
  EXPECT_FALSE(path_from_line("step the bare path"));
}

TEST(BenchTest, CryptoOnlyMeasuresBothSuitesWithoutPrivilege) {
  const CommandResult result = run_vpn({"bench", "--crypto-only", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json report = json::parse(result.out);
  ASSERT_EQ(report["ciphers"].size(), 2U);
  for (const json& cipher : report["ciphers"]) {
    EXPECT_GT(cipher["seal_ns"].get<double>(), 0);
    EXPECT_GT(cipher["open_ns"].get<double>(), 0);
    EXPECT_FALSE(cipher["backend"].get<std::string>().empty());
  }
  EXPECT_FALSE(report.contains("tunnels"));
}

}  // namespace
}  // namespace vpn::cli
