// SeededRandom: a RandomSource whose whole output follows from a seed and a name: the ChaCha20 key stream
// under BLAKE2b-256(seed; name). For the simulator and tests alone: whoever knows the seed knows every key.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "vpn/crypto/random.h"

namespace vpn::sim {

class SeededRandom final : public crypto::RandomSource {
 public:
  // Sources of different names under one seed have nothing in common.
  SeededRandom(uint64_t seed, std::string_view name) noexcept;

  void fill(MutableBytes out) noexcept override;

  // The next 64 bits of the sequence.
  [[nodiscard]] uint64_t next() noexcept;
  // Uniform in 0 … bound − 1; `bound` is at least 1.
  [[nodiscard]] uint64_t below(uint64_t bound) noexcept;
  // Uniform in first … last, both included.
  [[nodiscard]] uint64_t between(uint64_t first, uint64_t last) noexcept {
    return first + below(last - first + 1);
  }
  // True with this probability.
  [[nodiscard]] bool chance(double probability) noexcept;

 private:
  std::array<uint8_t, 32> key_{};
  std::array<uint8_t, 64> block_{};
  uint64_t next_block_ = 0;
  size_t used_ = sizeof(block_);
};

}  // namespace vpn::sim
