#include "lab/bench/report.h"

#include <algorithm>

#include "lab/bench/report_json.h"

namespace lab::bench {
namespace {

Json to_json(const Report& report, const CandidateReport& candidate) {
  Json metrics = Json::object();
  for (const Metric& metric : all_metrics()) {
    const auto comparison = compare(report, candidate, metric);
    if (!comparison) continue;
    Json one = {{"unit", metric.unit},
                {"more_is_better", metric.more_is_better},
                {"samples", candidate.samples.at(std::string(metric.id))},
                {"median", comparison->spread.median},
                {"lowest", comparison->spread.lowest},
                {"highest", comparison->spread.highest}};
    if (comparison->of_plain) one[metric.is_delay ? "added_to_plain" : "of_plain"] = *comparison->of_plain;
    if (comparison->of_wireguard_go) one["of_wireguard_go"] = *comparison->of_wireguard_go;
    metrics[std::string(metric.id)] = one;
  }
  return {{"name", candidate.name},
          {"about", candidate.about},
          {"version", candidate.version},
          {"installed", !candidate.absent},
          {"engine", candidate.engine},
          {"failures", candidate.failures},
          {"metrics", metrics}};
}

}  // namespace

std::optional<Spread> CandidateReport::spread(std::string_view metric) const {
  const auto found = samples.find(std::string(metric));
  if (found == samples.end()) return std::nullopt;
  return vpn::traffic::spread_of(found->second);
}

const CandidateReport* Report::find(std::string_view name) const {
  const auto found = std::find_if(candidates.begin(), candidates.end(),
                                  [&](const CandidateReport& one) { return one.name == name; });
  return found == candidates.end() ? nullptr : &*found;
}

std::optional<Comparison> compare(const Report& report, const CandidateReport& candidate,
                                  const Metric& metric) {
  const auto spread = candidate.spread(metric.id);
  if (!spread) return std::nullopt;
  const auto of = [&](std::string_view name) {
    const CandidateReport* const other = report.find(name);
    return other == nullptr ? std::nullopt : other->spread(metric.id);
  };
  const auto plain = of("plain");
  Comparison comparison{*spread, vpn::traffic::ratio(spread, plain),
                        vpn::traffic::ratio(spread, of("wireguard-go"))};
  if (metric.is_delay && plain) comparison.of_plain = spread->median - plain->median;
  return comparison;
}

std::string to_json(const Report& report) {
  Json candidates = Json::array();
  for (const CandidateReport& candidate : report.candidates) candidates.push_back(to_json(report, candidate));
  const Json json = {
      {"schema", "lab-bench/1"},     {"started", report.started}, {"machine", machine_json(report.machine)},
      {"link", report.link},         {"rounds", report.rounds},   {"seconds", report.seconds},
      {"measures", report.measures}, {"candidates", candidates}};
  return json_text(json);
}

}  // namespace lab::bench
