// The ciphers alone, as `vpn bench` measures them.
#pragma once

#include <chrono>
#include <vector>

#include "vpn/cli/bench_report.h"

namespace vpn::cli {

// Each suite with the backend that the daemon would use here. The fastest of several short runs within
// `duration` a figure: what disturbs can only slow down.
[[nodiscard]] std::vector<CipherFigures> measure_ciphers(std::chrono::nanoseconds duration);

}  // namespace vpn::cli
