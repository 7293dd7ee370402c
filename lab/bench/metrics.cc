#include "lab/bench/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace lab::bench {
namespace {

constexpr std::array<std::string_view, 5> kMeasures = {"ping", "tcp1", "tcp4", "udp64", "udp1372"};

constexpr Metric delay(std::string_view id, std::string_view measure, std::string_view title, bool in_table) {
  return {id, measure, title, "ms", 3, false, true, in_table};
}

constexpr std::array<Metric, 16> kMetrics = {{
    {"tcp1_gbit", "tcp1", "TCP, 1 stream", "Gbit/s", 2, true},
    {"tcp1_cpu", "tcp1", "CPU of both daemons, 1 stream", "s/GB", 2, false},
    {"tcp4_gbit", "tcp4", "TCP, 4 streams", "Gbit/s", 2, true},
    {"tcp4_cpu", "tcp4", "CPU of both daemons, 4 streams", "s/GB", 2, false},
    {"udp64_pps", "udp64", "UDP of 64 bytes, at most 1 % lost", "packets/s", 0, true},
    {"udp64_loss", "udp64", "share lost at that rate", "%", 2, false, false, false},
    {"udp1372_pps", "udp1372", "UDP of 1372 bytes, at most 1 % lost", "packets/s", 0, true},
    {"udp1372_loss", "udp1372", "share lost at that rate", "%", 2, false, false, false},
    delay("ping_idle_p50", "ping", "Ping, idle, median", true),
    delay("ping_idle_p90", "ping", "Ping, idle, 90th percentile", false),
    delay("ping_idle_p99", "ping", "Ping, idle, 99th percentile", true),
    delay("ping_loaded_p50", "tcp1", "Ping beside 1 TCP stream, median", true),
    delay("ping_loaded_p90", "tcp1", "Ping beside 1 TCP stream, 90th percentile", false),
    delay("ping_loaded_p99", "tcp1", "Ping beside 1 TCP stream, 99th percentile", true),
    {"memory_idle", "ping", "Memory of both daemons, idle", "MB", 1, false},
    {"memory_loaded", "tcp1", "Memory of both daemons, under load", "MB", 1, false},
}};

}  // namespace

std::span<const Metric> all_metrics() {
  return kMetrics;
}

std::span<const std::string_view> all_measures() {
  return kMeasures;
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(',', start), text.size());
    if (end > start) parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

Result<std::vector<std::string>> parse_measures(const std::string& text) {
  const std::vector<std::string> named = split_list(text);
  for (const std::string& one : named) {
    if (std::find(kMeasures.begin(), kMeasures.end(), one) == kMeasures.end()) {
      return fail("--measures", fmt::format("'{}' is no measure", one),
                  fmt::format("use some of {}", fmt::join(kMeasures, ",")));
    }
  }
  std::vector<std::string> measures;
  for (const std::string_view one : kMeasures) {
    if (named.empty() || std::find(named.begin(), named.end(), one) != named.end())
      measures.emplace_back(one);
  }
  return measures;
}

}  // namespace lab::bench
