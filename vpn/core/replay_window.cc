#include "vpn/core/replay_window.h"

#include <algorithm>

#include "vpn/core/constants.h"

namespace vpn::core {

// Neither past the key's limit nor so far behind that its block may have been given to a greater counter.
bool ReplayWindow::in_reach(Counter counter) const noexcept {
  return counter < kRejectAfterMessages && (counter >= end_ || (end_ - 1) - counter <= kUsableBits);
}

bool ReplayWindow::would_accept(Counter counter) const noexcept {
  if (!in_reach(counter)) return false;
  if (counter >= end_) return true;
  const uint64_t bit = uint64_t{1} << (counter % kBlockBits);
  return (blocks_[counter / kBlockBits % kBlocks] & bit) == 0;
}

bool ReplayWindow::accept(Counter counter) noexcept {
  if (!in_reach(counter)) return false;
  const uint64_t block = counter / kBlockBits;
  if (counter >= end_) {
    // Blocks after the one that holds the greatest counter so far still hold bits from a turn of the ring
    // ago.
    const uint64_t newest = end_ == 0 ? 0 : (end_ - 1) / kBlockBits;
    const uint64_t advance = std::min<uint64_t>(block - newest, kBlocks);
    for (uint64_t step = 1; step <= advance; ++step) blocks_[(newest + step) % kBlocks] = 0;
    end_ = counter + 1;
  }
  uint64_t& word = blocks_[block % kBlocks];
  const uint64_t bit = uint64_t{1} << (counter % kBlockBits);
  if ((word & bit) != 0) return false;
  word |= bit;
  return true;
}

}  // namespace vpn::core
