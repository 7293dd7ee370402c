// Probe: the process that measures one candidate in one round. It has the sockets of both ends, so it is
// forked anew for each turn and joins what the lab's user may join.
#pragma once

#include <sys/types.h>

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "lab/error.h"

namespace lab::bench {

struct Probe {
  std::array<pid_t, 2> holders{};  // of the hosts left and right
  std::array<std::string, 2> addresses;
  // Where the daemons only make it: an interface to be given the addresses, an MTU, and to be set up.
  std::string interface_to_set_up;
  std::vector<pid_t> daemons;         // whose processor time and memory count
  std::vector<std::string> measures;  // those of metrics.h; of UDP, "udpN" with any payload of N bytes
  // For the measure "crowd": what the peers in the host left say they opened (vpn/bench/crowd.cc), and how
  // many there are.
  std::string crowd_log;
  size_t crowd_size = 0;
  double seconds = 3;  // of a TCP window
  bool quick = false;  // shorter trials
};

// What the probe reports as it goes.
struct ProbeHooks {
  std::function<void(const std::string& measure)> begins;
  std::function<void(const std::string& metric, double value)> found;
  std::function<void(const std::string& measure, const std::string& problem)> failed;
};

// Measures and returns when all is done. A probe that does not end in time is killed, and that is reported as
// a failure of what it was at.
void run_probe(const Probe& probe, const ProbeHooks& hooks);

// Roughly how long a measure takes, for the progress and for the deadline.
[[nodiscard]] double expected_seconds(const Probe& probe, std::string_view measure);

}  // namespace lab::bench
