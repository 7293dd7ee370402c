// What a run of `lab bench` found, and its JSON form ("lab-bench/1", described in lab/README.md).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lab/bench/metrics.h"
#include "vpn/traffic/statistics.h"

namespace lab::bench {

using vpn::traffic::Spread;

struct Machine {
  std::string processor;
  unsigned cores = 0;
  std::string kernel;
  double memory_gb = 0;
  double load_before = 0;  // the load average of the last minute, as the run began
};

struct CandidateReport {
  std::string name;
  std::string about;
  std::string version;                                 // as the program tells it; empty: unknown
  std::map<std::string, std::string> engine;           // what was in use: offloads, as the daemon tells them
  std::map<std::string, std::vector<double>> samples;  // by the metric's id; one a round
  std::vector<std::string> failures;                   // what could not be measured and why, each once
  bool absent = false;                                 // not installed: `failures` says what to install

  // Over the rounds of one metric, named by its id, in its unit; empty where no round gave a sample.
  [[nodiscard]] std::optional<Spread> spread(std::string_view metric) const;
};

struct Report {
  std::string started;  // ISO 8601, UTC
  Machine machine;
  std::string link;  // "veth, unimpaired", or its weather and engine
  unsigned rounds = 0;
  double seconds = 0;  // of each measured TCP window
  std::vector<std::string> measures;
  std::vector<CandidateReport> candidates;

  // The candidate of this name; null where it did not take part.
  [[nodiscard]] const CandidateReport* find(std::string_view name) const;
};

// One metric of one candidate, beside the two it is compared with.
struct Comparison {
  Spread spread;
  std::optional<double> of_plain;         // a ratio; of a delay: what is added, in its unit
  std::optional<double> of_wireguard_go;  // a ratio
};
// Empty where this candidate gave no sample of the metric; a field is empty where the candidate it compares
// with gave none.
[[nodiscard]] std::optional<Comparison> compare(const Report& report, const CandidateReport& candidate,
                                                const Metric& metric);

// One object with a line's end, indented: every sample, and each candidate's comparisons.
[[nodiscard]] std::string to_json(const Report& report);
// For the terminal: a block a metric, a line a candidate.
[[nodiscard]] std::string to_table(const Report& report);
// A chart that stands alone: a panel a metric, a bar a candidate, whiskers from the lowest to the highest.
[[nodiscard]] std::string to_svg(const Report& report);

}  // namespace lab::bench
