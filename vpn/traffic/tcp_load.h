// TCP at full speed from one end to the other, measured at the receiver.
#pragma once

#include <cstddef>
#include <functional>

#include "vpn/traffic/end.h"

namespace vpn::traffic {

struct TcpLoad {
  size_t streams = 1;
  Duration warm_up = std::chrono::milliseconds(500);  // before the measured window
  Duration window = std::chrono::seconds(3);
  Duration connect_limit = std::chrono::seconds(5);
};

// Called as the measured window begins and ends.
struct WindowHooks {
  std::function<void()> begins;
  std::function<void()> ends;
};

struct TcpResult {
  uint64_t bytes = 0;  // that the receiving program read within the window
  double seconds = 0;
  [[nodiscard]] double gbit_per_second() const { return static_cast<double>(bytes) * 8e-9 / seconds; }
};

// One thread sends on all streams, one receives from all, 128 KiB a call, as iperf3 does. An Error where a
// stream cannot be connected in time, or nothing arrives in the window.
[[nodiscard]] Result<TcpResult, Error> measure_tcp(const End& from, const End& to, const TcpLoad& load,
                                                   const WindowHooks& hooks = {});

}  // namespace vpn::traffic
