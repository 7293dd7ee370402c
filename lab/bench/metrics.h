// What `lab bench` measures: the measures one asks for, and the figures each gives.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lab/error.h"

namespace lab::bench {

// One figure of a candidate.
struct Metric {
  std::string_view id;       // in the JSON: "tcp1_gbit"
  std::string_view measure;  // which gives it: "tcp1"
  std::string_view title;
  std::string_view unit;
  int decimals = 2;
  bool more_is_better = true;
  bool is_delay = false;  // compared by difference, not by ratio
  bool in_table = true;
};

// Every figure there is, in the order of the report. Lives as long as the program.
[[nodiscard]] std::span<const Metric> all_metrics();

// The measures: "ping", "tcp1", "tcp4", "udp64", "udp1372".
[[nodiscard]] std::span<const std::string_view> all_measures();

// Those named in "tcp1,udp64", in our order. An Error names what is unknown.
[[nodiscard]] Result<std::vector<std::string>> parse_measures(const std::string& text);

// "a,b,c" in parts; empty ones left out.
[[nodiscard]] std::vector<std::string> split_list(const std::string& text);

}  // namespace lab::bench
