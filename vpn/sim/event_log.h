// EventLog: what happened in a simulated world, one line an event, in order. The same seed on the same commit
// gives the same lines byte for byte, whatever the compiler; a running hash of them makes that cheap to
// check.
#pragma once

#include <sodium.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "vpn/base/time.h"

namespace vpn::sim {

class EventLog {
 public:
  EventLog() noexcept;

  // Keeps the lines too, not only their hash. Off at first: thousands of runs need only the hash.
  void keep_lines(bool keep) noexcept { keeps_lines_ = keep; }
  // Appends "seconds.nanoseconds text\n".
  void add(Instant when, std::string_view text);

  [[nodiscard]] const std::vector<std::string>& lines() const noexcept { return lines_; }
  [[nodiscard]] uint64_t line_count() const noexcept { return line_count_; }
  // BLAKE2b-256 of all lines so far, in hex.
  [[nodiscard]] std::string hash() const;

 private:
  crypto_generichash_state hash_;
  bool keeps_lines_ = false;
  uint64_t line_count_ = 0;
  std::string line_;  // kept for its capacity
  std::vector<std::string> lines_;
};

}  // namespace vpn::sim
