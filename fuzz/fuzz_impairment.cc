// The weather of a link as text ("delay=20ms±5ms loss=1%"): any text is read without a crash; what is
// accepted says the same after writing and reading it again, and what is refused has changed nothing.
#include <algorithm>
#include <cmath>
#include <string>

#include "fuzz/input.h"
#include "lab/impair/impairment.h"
#include "vpn/base/check.h"

namespace lab {
namespace {

bool close(double a, double b) {
  return std::abs(a - b) <= 1e-5 * std::max(std::abs(a), std::abs(b));
}
bool close(Duration a, Duration b) {
  return close(static_cast<double>(a.count()), static_cast<double>(b.count()));
}

void check_limits(const Impairment& weather) {
  for (const double share : {weather.loss, weather.reorder, weather.duplicate, weather.corrupt}) {
    VPN_CHECK(share >= 0 && share <= 1);
  }
  VPN_CHECK(weather.delay >= Duration{} && weather.delay <= std::chrono::seconds(60));
  VPN_CHECK(weather.jitter >= Duration{} && weather.jitter <= weather.delay);
}

void check_same_meaning(const Impairment& a, const Impairment& b) {
  VPN_CHECK(close(a.loss, b.loss) && close(a.reorder, b.reorder) && close(a.duplicate, b.duplicate));
  VPN_CHECK(close(a.corrupt, b.corrupt) && close(a.delay, b.delay) && close(a.jitter, b.jitter));
  VPN_CHECK(close(a.burst.good_to_bad, b.burst.good_to_bad) &&
            close(a.burst.bad_to_good, b.burst.bad_to_good));
  VPN_CHECK(close(a.burst.loss_in_bad, b.burst.loss_in_bad) &&
            close(a.burst.loss_in_good, b.burst.loss_in_good));
  VPN_CHECK(a.reorder == 0 || close(a.reorder_hold, b.reorder_hold));
  VPN_CHECK(a.rate_bits_per_second == b.rate_bits_per_second);
  VPN_CHECK(a.rate_bits_per_second == 0 || a.queue_packets == b.queue_packets);
  VPN_CHECK(close(a.slot_min, b.slot_min) && close(a.slot_max, b.slot_max));
  VPN_CHECK(a.mtu_bytes == b.mtu_bytes && (a.mtu_bytes == 0 || a.icmp == b.icmp));
  VPN_CHECK(a.drops == b.drops && a.is_clear() == b.is_clear());
}

}  // namespace
}  // namespace lab

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  lab::Impairment impairment;
  if (!lab::set_impairments(impairment, text)) {
    VPN_CHECK(impairment == lab::Impairment{});
    return 0;
  }
  lab::check_limits(impairment);
  const std::string written = lab::to_string(impairment);
  lab::Impairment again;
  VPN_CHECK(lab::set_impairments(again, written).has_value());
  lab::check_same_meaning(impairment, again);
  return 0;
}
