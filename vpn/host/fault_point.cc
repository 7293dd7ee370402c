#include "vpn/host/fault_point.h"

#ifdef VPN_FAULT_POINTS
#include <csignal>
#include <cstdlib>

namespace vpn::host {

void fault_point() noexcept {
  static int left = [] {
    const char* const text = std::getenv("VPN_FAULT_AT");
    return text == nullptr ? 0 : std::atoi(text);
  }();
  if (left > 0 && --left == 0) std::raise(SIGKILL);
}

}  // namespace vpn::host
#endif
