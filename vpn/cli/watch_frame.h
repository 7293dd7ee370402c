// One picture of `vpn watch`, as pure text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/time.h"
#include "vpn/cli/show_text.h"

namespace vpn::cli {

// What the daemons said at one time.
struct WatchSample {
  Instant taken{};
  int64_t unix_seconds = 0;  // the wall clock, for the ages of handshakes
  InterfaceReports reports;
  std::vector<Error> failures;  // of interfaces that did not answer
};

struct WatchView {
  size_t width = 80;    // columns; longer lines are cut
  size_t height = 0;    // lines; 0: as many as it takes
  bool styled = false;  // with ANSI colours
};

// Lines of at most `width` columns, each ended by a newline. Rates are per second since `before`, and missing
// ("-") where that is null, does not have the interface or peer, or has greater counts (the daemon was
// started anew).
[[nodiscard]] std::string watch_frame(const WatchSample* before, const WatchSample& now,
                                      const WatchView& view);

}  // namespace vpn::cli
