#include "vpn/cli/drop_counts.h"

#include <algorithm>

#include "vpn/core/drop.h"

namespace vpn::cli {
namespace {

constexpr std::string_view kTrafficCounters[] = {"sent_datagrams"};  // nothing lost

struct Meaning {
  std::string_view name, meaning;
};
constexpr Meaning kSystemMeanings[] = {
    {"send_too_large", "larger than the path takes"},
    {"send_no_buffer", "the kernel had no room to send"},
    {"send_unreachable", "no route to the peer"},
    {"send_refused", "a firewall refused to send"},
    {"send_other_error", "the kernel refused to send"},
    {"receive_overflow", "came faster than they were read from the socket"},
    {"tun_malformed", "from the interface, and not what it should hand over"},
    {"tun_refused", "refused by the interface"},
};

std::string_view meaning_of(std::string_view name) {
  for (size_t index = 0; index < core::kDropCount; ++index) {
    const auto drop = static_cast<core::Drop>(index);
    if (core::drop_name(drop) == name) return core::drop_meaning(drop);
  }
  for (const Meaning& known : kSystemMeanings) {
    if (known.name == name) return known.meaning;
  }
  return {};
}

}  // namespace

std::vector<DropCount> drop_counts(const config::DeviceReport& report) {
  std::vector<DropCount> drops;
  for (const auto& [counter, count] : report.counters) {
    const bool is_traffic = std::find(std::begin(kTrafficCounters), std::end(kTrafficCounters), counter) !=
                            std::end(kTrafficCounters);
    if (count == 0 || is_traffic) continue;
    const std::string name = counter.starts_with(kDropPrefix) ? counter.substr(kDropPrefix.size()) : counter;
    drops.push_back({name, meaning_of(name), count});
  }
  std::stable_sort(drops.begin(), drops.end(),
                   [](const auto& a, const auto& b) { return a.count > b.count; });
  return drops;
}

}  // namespace vpn::cli
