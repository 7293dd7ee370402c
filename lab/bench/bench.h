// `lab bench`: VPNs side by side on one link, in one run.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "lab/bench/report.h"
#include "lab/bench/turn.h"
#include "lab/error.h"

namespace lab::bench {

struct Options {
  std::string candidates;  // "plain,vpn"; empty: all
  std::string measures;    // "tcp1,udp64"; empty: all
  unsigned rounds = 3;
  double seconds = 3;   // of a TCP window
  bool quick = false;   // one round, short trials: about a minute in all
  std::string weather;  // of the link; empty: none
  std::string engine;   // of the link: "wire", "netem", "veth"; empty: veth, or what the weather needs
  std::optional<uint64_t> seed;
};

// The link that is measured on, in words: "veth, unimpaired". An Error where the weather is none.
[[nodiscard]] Result<std::string> describe_link(const Options& options);

// A turn on that link, without a measure yet.
[[nodiscard]] TurnOptions base_turn(const Options& options);

// Told what is going on, and how long it will roughly take yet.
using ProgressSink = std::function<void(const std::string& what, double seconds_left)>;

// Runs the rounds: in each, every candidate once, the order rotated by one from round to round. An Error only
// where nothing could be begun; a candidate that fails is a row of the report that says so.
[[nodiscard]] Result<Report> run(const Options& options, const ProgressSink& progress);

}  // namespace lab::bench
