// What the figures of a benchmark were taken on.
#pragma once

#include <string>

#include "lab/bench/report.h"

namespace lab::bench {

// This machine as it is now. What the system does not tell stays as it was: "unknown processor", 0, an empty
// kernel.
[[nodiscard]] Machine describe_machine();
[[nodiscard]] std::string now_in_utc();  // "2026-01-31T12:00:00Z"

}  // namespace lab::bench
