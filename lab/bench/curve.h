// `lab bench --curve`: how the cost of our tunnel grows with one thing.
#pragma once

#include <string>
#include <vector>

#include "lab/bench/bench.h"

namespace lab::bench {

struct CurvePoint {
  double x = 0;
  std::vector<double> samples;  // Gbit/s; one a round
};

struct CurveLine {
  std::string name;
  std::string about;
  std::vector<CurvePoint> points;  // by x
  std::vector<std::string> failures;
};

struct CurveReport {
  std::string started;
  Machine machine;
  std::string link;   // in words
  std::string curve;  // "peers", "active", "size"
  std::string title;
  std::string x_title;
  unsigned rounds = 0;
  std::vector<CurveLine> lines;
};

// Draws "peers" (1 … 10,000 configured peers, of which one is active: a single TCP stream's throughput),
// "active" (1 … 1,000 peers that all receive: their throughput together) or "size" (inner packets of
// 64 … 9000 bytes over a link that carries them whole: the highest UDP rate that loses at most 1 %), for
// `options.candidates`, else vpn and vpn-aes. What is measured is the curve's own: `options.measures` has no
// part in it.
[[nodiscard]] Result<CurveReport> run_curve(const std::string& curve, const Options& options,
                                            const ProgressSink& progress);

[[nodiscard]] std::string to_json(const CurveReport& report);   // "lab-bench-curve/1"
[[nodiscard]] std::string to_table(const CurveReport& report);  // with each point as a share of the first
[[nodiscard]] std::string to_svg(const CurveReport& report);    // x by its logarithm

}  // namespace lab::bench
