#include "lab/bench/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "lab/bench/candidates.h"
#include "lab/bench/curve.h"
#include "lab/bench/turn.h"
#include "lab/topology/topology.h"

namespace lab::bench {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Json = nlohmann::json;

CandidateReport candidate(const std::string& name, std::vector<double> tcp, std::vector<double> ping) {
  CandidateReport report;
  report.name = name;
  report.about = "about <" + name + ">";
  if (!tcp.empty()) report.samples["tcp1_gbit"] = std::move(tcp);
  if (!ping.empty()) report.samples["ping_idle_p50"] = std::move(ping);
  return report;
}

Report example() {
  Report report;
  report.started = "2026-01-31T12:00:00Z";
  report.machine = {"A & B", 2, "6.12", 8, 0.25};
  report.link = "veth, unimpaired";
  report.rounds = 3;
  report.seconds = 3;
  report.measures = {"ping", "tcp1"};
  report.candidates = {candidate("plain", {12, 10, 11}, {0.02}),
                       candidate("vpn", {5.5, 6, 5}, {0.1, 0.12, 0.14}),
                       candidate("wireguard-go", {2, 2.5, 1.5}, {0.4})};
  report.candidates.push_back(candidate("openvpn", {}, {}));
  report.candidates.back().failures = {"start: no ping came through"};
  return report;
}

const Metric& metric(std::string_view id) {
  for (const Metric& one : all_metrics()) {
    if (one.id == id) return one;
  }
  throw std::out_of_range(std::string(id));
}

TEST(ReportTest, ComparesMediansWithPlainAndWireguardGo) {
  const Report report = example();
  const auto tcp = compare(report, *report.find("vpn"), metric("tcp1_gbit"));
  EXPECT_DOUBLE_EQ(tcp->spread.median, 5.5);
  EXPECT_DOUBLE_EQ(tcp->spread.lowest, 5);
  EXPECT_DOUBLE_EQ(tcp->spread.highest, 6);
  EXPECT_DOUBLE_EQ(*tcp->of_plain, 0.5);
  EXPECT_DOUBLE_EQ(*tcp->of_wireguard_go, 2.75);
}

TEST(ReportTest, ADelayIsComparedWithPlainByWhatItAdds) {
  const Report report = example();
  const auto ping = compare(report, *report.find("vpn"), metric("ping_idle_p50"));
  EXPECT_NEAR(*ping->of_plain, 0.10, 1e-12);
  EXPECT_NEAR(*ping->of_wireguard_go, 0.3, 1e-12);
}

TEST(ReportTest, WhatWasNotMeasuredHasNoComparison) {
  const Report report = example();
  EXPECT_FALSE(compare(report, *report.find("openvpn"), metric("tcp1_gbit")));
  Report alone = example();
  alone.candidates = {alone.candidates[1]};
  EXPECT_FALSE(compare(alone, alone.candidates[0], metric("tcp1_gbit"))->of_plain);
}

TEST(ReportTest, TheTableHasALineACandidateAndTheFailures) {
  const std::string table = to_table(example());
  EXPECT_THAT(table, HasSubstr("TCP, 1 stream (Gbit/s)"));
  EXPECT_THAT(table,
              HasSubstr("  vpn                  5.50            5.00–6.00      0.50×           2.75×\n"));
  EXPECT_THAT(table, HasSubstr("+0.100"));
  EXPECT_THAT(table, HasSubstr("Not measured\n  openvpn        start: no ping came through\n"));
  EXPECT_THAT(table, Not(HasSubstr("TCP, 4 streams")));
}

TEST(ReportTest, TheJsonHoldsMachineSamplesAndRatios) {
  const Json json = Json::parse(to_json(example()));
  EXPECT_EQ(json["schema"], "lab-bench/1");
  EXPECT_EQ(json["machine"]["cores"], 2);
  EXPECT_EQ(json["candidates"].size(), 4U);
  const Json& vpn = json["candidates"][1]["metrics"]["tcp1_gbit"];
  EXPECT_THAT(vpn["samples"].get<std::vector<double>>(), ElementsAre(5.5, 6, 5));
  EXPECT_DOUBLE_EQ(vpn["of_wireguard_go"].get<double>(), 2.75);
  EXPECT_EQ(json["candidates"][3]["failures"][0], "start: no ping came through");
  EXPECT_THAT(json["candidates"][3]["metrics"].get<Json::object_t>(), IsEmpty());
}

TEST(ReportTest, TheChartIsWellFormedAndEscapesText) {
  const std::string svg = to_svg(example());
  EXPECT_TRUE(svg.starts_with("<svg xmlns="));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_THAT(svg, HasSubstr("A &amp; B"));
  EXPECT_THAT(svg, HasSubstr("2.75× wireguard-go"));
  EXPECT_THAT(svg, HasSubstr("openvpn: start: no ping came through"));
}

CurveReport example_curve() {
  CurveReport report;
  report.title = "TCP by peers";
  report.curve = report.x_title = "peers";
  report.rounds = 2;
  report.lines = {{"vpn", "ours", {{1, {4, 6}}, {10'000, {4.5, 5}}}, {"100: no ping"}}};
  return report;
}

TEST(CurveTest, PointsAreSharesOfTheFirst) {
  const Json json = Json::parse(to_json(example_curve()));
  const Json& points = json["lines"][0]["points"];
  EXPECT_DOUBLE_EQ(points[0]["median"].get<double>(), 5);
  EXPECT_DOUBLE_EQ(points[1]["of_first"].get<double>(), 0.95);
  EXPECT_THAT(to_table(example_curve()), HasSubstr("   10000      4.750      4.500–5.000        0.95×\n"));
  EXPECT_THAT(to_table(example_curve()), HasSubstr("not measured: 100: no ping"));
}

TEST(CurveTest, TheChartHasALineThroughItsPoints) {
  const std::string svg = to_svg(example_curve());
  EXPECT_THAT(svg, HasSubstr("<polyline points=\"70.0,120.0 640.0,132.5 \""));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
}

TEST(ListsTest, UnknownNamesAreRefusedWithTheKnownOnes) {
  const auto measures = parse_measures("tcp1,tcp9");
  ASSERT_FALSE(measures);
  EXPECT_THAT(measures.error().to_string(), HasSubstr("'tcp9' is no measure; remedy: use some of ping,tcp1"));
  const auto candidates = parse_candidates("vpn,tinc");
  ASSERT_FALSE(candidates);
  EXPECT_THAT(candidates.error().to_string(),
              HasSubstr("'tinc' is no candidate; remedy: use some of plain,"));
}

TEST(ListsTest, OrderIsOursAndEmptyMeansAll) {
  EXPECT_THAT(*parse_measures("udp64,ping"), ElementsAre("ping", "udp64"));
  EXPECT_EQ(parse_measures("")->size(), all_measures().size());
  EXPECT_EQ(parse_candidates("")->size(), all_candidates().size());
  EXPECT_EQ(parse_candidates("vpn,plain")->front().name, "plain");
}

TEST(ListsTest, EveryMetricBelongsToAMeasure) {
  for (const Metric& one : all_metrics()) {
    EXPECT_NE(std::find(all_measures().begin(), all_measures().end(), one.measure), all_measures().end())
        << one.id;
  }
}

TEST(TopologyTest, OfEveryCandidateIsSound) {
  for (const Candidate& one : all_candidates()) {
    for (const std::string weather : {"", "delay=10ms loss=1%"}) {
      TurnOptions turn;
      turn.weather = weather;
      const ParsedTopology parsed = parse_topology(topology_text(one, turn), "bench");
      for (const Error& problem : parsed.problems) ADD_FAILURE() << one.name << ": " << problem.to_string();
      EXPECT_EQ(parsed.topology.tunnels.size(), one.kind == CandidateKind::kWireguard ? 1U : 0U);
      EXPECT_EQ(parsed.topology.links[0].engine, weather.empty() ? Engine::kVeth : Engine::kAuto);
    }
  }
}

}  // namespace
}  // namespace lab::bench
