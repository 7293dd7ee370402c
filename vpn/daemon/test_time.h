// For tests of what time is handed to: the instant that they begin at.
#pragma once

#include "vpn/base/time.h"

namespace vpn::daemon {

inline constexpr Instant kStart{std::chrono::seconds(1000)};

}  // namespace vpn::daemon
