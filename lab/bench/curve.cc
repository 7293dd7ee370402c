#include "lab/bench/curve.h"

#include <fmt/format.h>

#include <array>

#include "lab/bench/lane.h"
#include "lab/bench/leash.h"
#include "lab/bench/machine.h"
#include "lab/bench/turn.h"

namespace lab::bench {
namespace {

constexpr std::array<size_t, 5> kPeerCounts = {1, 10, 100, 1000, 10'000};
constexpr std::array<size_t, 4> kActiveCounts = {1, 10, 100, 1000};
constexpr std::array<size_t, 9> kInnerBytes = {64, 128, 256, 512, 1024, 1420, 2800, 5600, 9000};
constexpr size_t kUdpHeaderBytes = 28;  // IPv4 and UDP

// What is measured at one x, and how its figure is read.
struct Step {
  double x = 0;
  TurnOptions turn;
  std::string metric;
  double factor = 1;  // from the metric to Gbit/s
};

std::vector<Step> peer_steps(const TurnOptions& base) {
  std::vector<Step> steps;
  for (const size_t count : kPeerCounts) {
    Step step{static_cast<double>(count), base, "tcp1_gbit", 1};
    step.turn.measures = {"tcp1"};
    step.turn.further_peers = count - 1;
    steps.push_back(std::move(step));
  }
  return steps;
}

std::vector<Step> active_steps(const TurnOptions& base) {
  std::vector<Step> steps;
  for (const size_t count : kActiveCounts) {
    Step step{static_cast<double>(count), base, "crowd_pps",
              static_cast<double>(kCrowdPayloadBytes + kUdpHeaderBytes) * 8e-9};
    step.turn.measures = {"crowd"};
    step.turn.crowd = count;
    steps.push_back(std::move(step));
  }
  return steps;
}

std::vector<Step> size_steps(const TurnOptions& base) {
  std::vector<Step> steps;
  for (const size_t bytes : kInnerBytes) {
    const std::string measure = fmt::format("udp{}", bytes - kUdpHeaderBytes);
    Step step{static_cast<double>(bytes), base, measure + "_pps", static_cast<double>(bytes) * 8e-9};
    step.turn.measures = {measure};
    step.turn.jumbo = true;
    steps.push_back(std::move(step));
  }
  return steps;
}

Result<CurveReport> begin_report(const std::string& curve, const Options& options) {
  const auto link = describe_link(options);
  if (!link) return fail(link.error());
  CurveReport report;
  report.started = now_in_utc();
  report.machine = describe_machine();
  report.link = *link;
  report.rounds = options.quick ? 1 : options.rounds;
  report.curve = curve;
  if (curve == "peers") {
    report.title = "One TCP stream, by the number of configured peers";
    report.x_title = "peers";
  } else if (curve == "active") {
    report.title = "UDP from one daemon to all its peers together, at most 1 % lost, by their number";
    report.x_title = "peers";
  } else if (curve == "size") {
    report.title = "UDP at the highest rate that loses at most 1 %, by the size of the inner packet";
    report.x_title = "bytes";
  } else {
    return fail("--curve", fmt::format("'{}' is no curve", curve), "use peers, active or size");
  }
  return report;
}

void add_point(const Step& step, CandidateReport& found, CurveLine& line, size_t index) {
  if (line.points.size() <= index) line.points.push_back({step.x, {}});
  for (const double sample : found.samples[step.metric])
    line.points[index].samples.push_back(sample * step.factor);
  for (const std::string& failure : found.failures) {
    line.failures.push_back(fmt::format("{:.0f}: {}", step.x, failure));
  }
}

}  // namespace

Result<CurveReport> run_curve(const std::string& curve, const Options& options,
                              const ProgressSink& progress) {
  auto report = begin_report(curve, options);
  if (!report) return report;
  const auto candidates = parse_candidates(options.candidates.empty() ? "vpn,vpn-aes" : options.candidates);
  if (!candidates) return fail(candidates.error());
  TurnOptions base = base_turn(options);
  if (options.quick) base.seconds = 0.5;  // there are many steps
  const std::vector<Step> steps = curve == "peers"    ? peer_steps(base)
                                  : curve == "active" ? active_steps(base)
                                                      : size_steps(base);
  for (const Candidate& candidate : *candidates) {
    report->lines.push_back({std::string(candidate.name), std::string(candidate.about), {}, {}});
    const CandidateReport described = describe(candidate);
    if (described.absent) report->lines.back().failures = described.failures;
  }
  const auto leash = Leash::tie(base.lab);
  if (!leash) return fail(leash.error());
  Probe probe;
  probe.seconds = base.seconds;
  probe.quick = base.quick;
  size_t left = report->rounds * steps.size() * candidates->size();
  for (unsigned round = 0; round < report->rounds; ++round) {
    for (size_t index = 0; index < steps.size(); ++index) {
      const Step& step = steps[index];
      const double each = 1 + expected_seconds(probe, step.turn.measures.front());
      for (size_t line = 0; line < candidates->size(); ++line, --left) {
        const Candidate& candidate = (*candidates)[line];
        CandidateReport found = describe(candidate);
        if (found.absent) continue;
        progress(fmt::format("round {}/{}, {}: {:.0f} {}", round + 1, report->rounds, candidate.name, step.x,
                             report->x_title),
                 static_cast<double>(left) * each);
        run_turn(candidate, step.turn, found, [](const std::string&) {});
        add_point(step, found, report->lines[line], index);
      }
    }
  }
  return report;
}

}  // namespace lab::bench
