// ReplayWindow: accepts every counter at most once, in any order within a sliding window (RFC 6479).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vpn/base/ids.h"

namespace vpn::core {

class ReplayWindow {
 public:
  static constexpr size_t kBits = 8192;
  // One block of the ring is being filled, so this many counters behind the greatest are remembered for
  // certain.
  static constexpr size_t kUsableBits = kBits - 64;

  // Whether accept() would return true. Changes nothing: may be asked before the tag is verified.
  [[nodiscard]] bool would_accept(Counter counter) const noexcept;
  // Marks the counter as seen. False when it was seen before, lies behind the window, or is at or past
  // REJECT_AFTER_MESSAGES. Call it only for an authentic message.
  [[nodiscard]] bool accept(Counter counter) noexcept;

 private:
  static constexpr size_t kBlockBits = 64;
  static constexpr size_t kBlocks = kBits / kBlockBits;

  [[nodiscard]] bool in_reach(Counter counter) const noexcept;

  // One more than the greatest counter accepted; 0 before the first. Bits are stored by counter, modulo the
  // ring.
  Counter end_ = 0;
  std::array<uint64_t, kBlocks> blocks_{};
};

}  // namespace vpn::core
