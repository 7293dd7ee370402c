#include "vpn/io/system.h"

#include <sodium.h>
#include <time.h>

#include <system_error>

#include "vpn/base/check.h"

namespace vpn::io {

Now read_clock() noexcept {
  timespec boot{};
  timespec wall{};
  VPN_CHECK(clock_gettime(CLOCK_BOOTTIME, &boot) == 0 && clock_gettime(CLOCK_REALTIME, &wall) == 0);
  Now now;
  now.monotonic = Instant(std::chrono::seconds(boot.tv_sec) + std::chrono::nanoseconds(boot.tv_nsec));
  now.wall = {wall.tv_sec, static_cast<uint32_t>(wall.tv_nsec)};
  return now;
}

std::string error_text(int error_number) {
  return std::generic_category().message(error_number);
}

void SystemRandom::fill(MutableBytes out) noexcept {
  randombytes_buf(out.data(), out.size());
}

}  // namespace vpn::io
