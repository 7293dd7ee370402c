// Round trips by ICMP echo, which the far kernel answers.
#pragma once

#include <cstddef>
#include <vector>

#include "vpn/traffic/end.h"

namespace vpn::traffic {

struct PingLoad {
  Duration interval = std::chrono::milliseconds(5);
  Duration duration = std::chrono::seconds(1);
  Duration wait = std::chrono::milliseconds(500);  // for the answers to the last ones
};

struct PingResult {
  std::vector<double> round_trips_ms;  // in the order of arrival
  size_t sent = 0;
};

// IPv4. The time of arrival is the kernel's, so that a busy machine does not add to it. Needs CAP_NET_RAW in
// the end's namespace.
[[nodiscard]] Result<PingResult, Error> ping(const End& from, const End& to, const PingLoad& load);

// Pings until the first answer comes. False when none has by the limit.
[[nodiscard]] Result<bool, Error> await_answer(const End& from, const End& to, Duration limit);

}  // namespace vpn::traffic
