// End: one end of a measured path: a network namespace and an address in it.
#pragma once

#include <sys/socket.h>

#include <chrono>

#include "vpn/base/error.h"
#include "vpn/base/ip_address.h"
#include "vpn/base/result.h"
#include "vpn/io/unique_fd.h"

namespace vpn::traffic {

using Duration = std::chrono::nanoseconds;
using SteadyClock = std::chrono::steady_clock;

struct End {
  int network =
      -1;  // a descriptor of the namespace (/proc/PID/ns/net); the caller keeps it; -1: where we are
  IpAddress address;
};

// A socket of the end's namespace, closed on exec. The calling thread stays in its own namespace.
[[nodiscard]] Result<io::UniqueFd, Error> open_socket(const End& end, int type, int protocol = 0);

// A socket bound to the end's address and `port` (0: any); `bound` becomes where it is bound to.
[[nodiscard]] Result<io::UniqueFd, Error> open_bound(const End& end, int type, uint16_t port,
                                                     UdpAddress& bound);

// With all its digits: 1.5 s is 1.5.
[[nodiscard]] inline double to_seconds(SteadyClock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// An Error about errno: "10.0.0.1: sending: Network is unreachable".
[[nodiscard]] Error system_error(const End& end, const std::string& what);

}  // namespace vpn::traffic
