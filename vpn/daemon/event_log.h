// What happens to peers, as lines of the log, at a pace that nobody outside can push up: neither who sends
// rubbish, nor a peer that moves or greets without end.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "vpn/base/time.h"
#include "vpn/core/drop.h"
#include "vpn/core/node.h"
#include "vpn/daemon/log.h"

namespace vpn::daemon {

// What the lines about one peer depend on.
class PeerTelling {
 public:
  // Writes the event's line, or leaves it out where the peer has had kBurst lines faster than one per
  // kSpacing; the next line says how many were. `peer` is what the line calls the peer.
  void tell(const core::Event& event, const std::string& peer, Log& log);

  static constexpr uint32_t kBurst = 20;
  static constexpr Duration kSpacing = std::chrono::seconds(10);

 private:
  struct Line;
  [[nodiscard]] Line line_of(const core::Event& event);
  [[nodiscard]] LogLevel level_of_silence();
  [[nodiscard]] bool may_write(Instant now);

  std::optional<Instant> last_handshake_;  // none after a silence: the next one is no renewal
  bool silent_ = false;                    // that was said, and it was not heard since
  Instant refilled_{};
  uint32_t lines_left_ = kBurst;
  uint32_t left_out_ = 0;
};

// The handshakes that were refused without a peer known to blame: a line a reason and kSpacing at most.
class RefusalTelling {
 public:
  // Looks what the counters say since the last line.
  void tell(const core::DropCounters& drops, Instant now, Log& log);

  static constexpr Duration kSpacing = std::chrono::seconds(60);

 private:
  struct Told {
    uint64_t count = 0;
    std::optional<Instant> when;
  };
  std::array<Told, core::kDropCount> told_{};
};

}  // namespace vpn::daemon
