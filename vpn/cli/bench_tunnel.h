// Tunnels between two hosts of this machine, as `vpn bench` measures them.
#pragma once

#include <functional>
#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/cli/bench_report.h"

namespace vpn::cli {

struct TunnelBench {
  double seconds = 2;  // of a TCP window
  std::function<void(const std::string& what)> on_step;
};

// Fills in `plain` and `tunnels`: the bare path, then a tunnel of each suite, by daemons of this program.
[[nodiscard]] Result<void, Error> measure_tunnels(const TunnelBench& bench, BenchFigures& figures);

}  // namespace vpn::cli
