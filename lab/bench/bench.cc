#include "lab/bench/bench.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "lab/bench/leash.h"
#include "lab/bench/machine.h"
#include "lab/impair/impairment.h"

namespace lab::bench {
namespace {

constexpr double kUpSeconds = 0.7;

// What is still to come, by the measures' expected times.
class Remaining {
 public:
  Remaining(const TurnOptions& turn, size_t turns) : turns_(static_cast<double>(turns)) {
    Probe probe;
    probe.seconds = turn.seconds;
    probe.quick = turn.quick;
    turn_seconds_ = kUpSeconds;
    before_["up"] = 0;
    for (const std::string& measure : turn.measures) {
      before_[measure] = turn_seconds_;
      turn_seconds_ += expected_seconds(probe, measure);
    }
  }
  void end_turn() { turns_ -= 1; }
  [[nodiscard]] double at(const std::string& measure) const {
    const auto found = before_.find(measure);
    return turns_ * turn_seconds_ - (found == before_.end() ? 0 : found->second);
  }

 private:
  double turns_;
  double turn_seconds_ = 0;
  std::map<std::string, double> before_;  // of a turn, when a measure begins
};

Result<Report> begin_report(const Options& options, const std::vector<Candidate>& candidates,
                            const TurnOptions& turn) {
  const auto link = describe_link(options);
  if (!link) return fail(link.error());
  Report report;
  report.started = now_in_utc();
  report.machine = describe_machine();
  report.link = *link;
  report.rounds = options.quick ? 1 : options.rounds;
  report.seconds = turn.seconds;
  report.measures = turn.measures;
  for (const Candidate& candidate : candidates) report.candidates.push_back(describe(candidate));
  return report;
}

}  // namespace

Result<std::string> describe_link(const Options& options) {
  Impairment checked;
  if (auto read = set_impairments(checked, options.weather); !read) {
    return fail("--impair", read.error().what, read.error().remedy);
  }
  const std::string engine = options.engine.empty() && options.weather.empty() ? "veth" : options.engine;
  return fmt::format("{}{}{}", engine, engine.empty() ? "" : ", ",
                     options.weather.empty() ? "unimpaired" : options.weather);
}

TurnOptions base_turn(const Options& options) {
  TurnOptions turn;
  turn.lab = fmt::format("bench-{}", ::getpid());
  turn.weather = options.weather;
  turn.engine = options.engine;
  turn.seed = options.seed;
  turn.quick = options.quick;
  turn.seconds = options.quick ? std::min(options.seconds, 1.0) : options.seconds;
  return turn;
}

Result<Report> run(const Options& options, const ProgressSink& progress) {
  auto candidates = parse_candidates(options.candidates);
  if (!candidates) return fail(candidates.error());
  auto measures = parse_measures(options.measures);
  if (!measures) return fail(measures.error());
  TurnOptions turn = base_turn(options);
  turn.measures = std::move(*measures);
  auto report = begin_report(options, *candidates, turn);
  if (!report) return report;
  std::vector<size_t> present;
  for (size_t index = 0; index < candidates->size(); ++index) {
    if (!report->candidates[index].absent) present.push_back(index);
  }
  Remaining remaining(turn, present.size() * report->rounds);
  const auto leash = Leash::tie(turn.lab);
  if (!leash) return fail(leash.error());
  for (unsigned round = 0; round < report->rounds; ++round) {
    for (size_t step = 0; step < present.size(); ++step) {
      const size_t index = present[(step + round) % present.size()];
      const Candidate& candidate = (*candidates)[index];
      run_turn(candidate, turn, report->candidates[index], [&](const std::string& measure) {
        progress(fmt::format("round {}/{}, {}: {}", round + 1, report->rounds, candidate.name, measure),
                 remaining.at(measure));
      });
      remaining.end_turn();
    }
  }
  return report;
}

}  // namespace lab::bench
