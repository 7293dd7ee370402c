// The counters of a report that tell of lost packets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vpn/config/uapi.h"

namespace vpn::cli {

inline constexpr std::string_view kDropPrefix = "drop_";  // of a counter's name, before the reason

struct DropCount {
  std::string name;          // "bad_mac1"
  std::string_view meaning;  // one clause; empty where this program does not know it
  uint64_t count = 0;
};

// What was dropped or could not be sent or received, most often first; what never happened is left out.
[[nodiscard]] std::vector<DropCount> drop_counts(const config::DeviceReport& report);

}  // namespace vpn::cli
