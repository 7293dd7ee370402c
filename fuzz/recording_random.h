// Seeded randomness for a Node, and a kind of it that a reference model can look at.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "vpn/base/bytes.h"
#include "vpn/base/secret.h"
#include "vpn/crypto/random.h"

namespace vpn::fuzz {

// splitmix64: quick, and the same bytes for the same seed.
class SeededRandom : public crypto::RandomSource {
 public:
  explicit SeededRandom(uint64_t seed) noexcept : state_(seed) {}

  void fill(MutableBytes out) noexcept override {
    for (size_t at = 0; at < out.size(); at += 8) {
      const uint64_t word = next();
      std::memcpy(out.data() + at, &word, std::min<size_t>(8, out.size() - at));
    }
  }

 private:
  uint64_t next() noexcept {
    state_ += 0x9e3779b97f4a7c15ULL;
    uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
    return mixed ^ (mixed >> 31);
  }

  uint64_t state_;
};

// Keeps what it gave, for a reference model to look at.
class RecordingRandom final : public SeededRandom {
 public:
  using SeededRandom::SeededRandom;

  void fill(MutableBytes out) noexcept override {
    SeededRandom::fill(out);
    draws_.emplace_back(out.begin(), out.end());
  }

  void forget() noexcept { draws_.clear(); }
  // The oldest draw of N bytes since forget(), taken off the record.
  template <size_t N>
  std::optional<std::array<uint8_t, N>> take() {
    for (auto draw = draws_.begin(); draw != draws_.end(); ++draw) {
      if (draw->size() != N) continue;
      std::array<uint8_t, N> bytes;
      copy_bytes(*draw, bytes);
      draws_.erase(draw);
      return bytes;
    }
    return std::nullopt;
  }

 private:
  std::vector<std::vector<uint8_t>> draws_;
};

}  // namespace vpn::fuzz
