// What the core asks of the system it runs on: the time and random bytes.
#pragma once

#include <string>

#include "vpn/base/time.h"
#include "vpn/crypto/random.h"

namespace vpn::io {

// Monotonic time that goes on in suspend (CLOCK_BOOTTIME), so that sessions age with the world; and the wall
// clock.
[[nodiscard]] Now read_clock() noexcept;

// "Permission denied" for EACCES, and so on. Safe on any thread.
[[nodiscard]] std::string error_text(int error_number);

// The kernel's generator, by libsodium. sodium_init() must have been called.
class SystemRandom final : public crypto::RandomSource {
 public:
  void fill(MutableBytes out) noexcept override;
};

}  // namespace vpn::io
