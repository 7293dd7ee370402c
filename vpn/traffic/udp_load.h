// UDP at a given rate from one end to the other.
#pragma once

#include <cstddef>
#include <vector>

#include "vpn/traffic/end.h"
#include "vpn/traffic/rate_search.h"

namespace vpn::traffic {

struct UdpLoad {
  size_t payload_bytes = 64;
  double packets_per_second = 20'000;
  Duration duration = std::chrono::milliseconds(500);
};

// Sends for `duration` and counts what arrives. One thread sends by sendmmsg, what is due within a tenth of a
// millisecond at once (no segmentation offload: every packet passes the sender's stack alone); one receives
// by recvmmsg into a buffer large enough that what is lost, is lost on the path.
[[nodiscard]] Result<RateTrial, Error> measure_udp(const End& from, const End& to, const UdpLoad& load);

struct Sent {
  uint64_t packets = 0;
  double seconds = 0;
};

// Only sends: `in_a_row` packets to each of the receivers in turn; none of them has to exist.
[[nodiscard]] Result<Sent, Error> spray_udp(const End& from, const std::vector<UdpAddress>& receivers,
                                            size_t in_a_row, const UdpLoad& load);

}  // namespace vpn::traffic
