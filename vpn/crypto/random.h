// RandomSource: where the core's randomness comes from. The core never asks the system itself; the daemon
// hands in the system's generator, the simulator and the tests a seeded one.
#pragma once

#include "vpn/base/bytes.h"

namespace vpn::crypto {

class RandomSource {
 public:
  virtual ~RandomSource() = default;
  // Fills `out` with unpredictable bytes (or, in tests, with the seed's).
  virtual void fill(MutableBytes out) noexcept = 0;
};

}  // namespace vpn::crypto
