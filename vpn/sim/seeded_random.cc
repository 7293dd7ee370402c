#include "vpn/sim/seeded_random.h"

#include <sodium.h>

#include <algorithm>

#include "vpn/base/endian.h"

namespace vpn::sim {

SeededRandom::SeededRandom(uint64_t seed, std::string_view name) noexcept {
  std::array<uint8_t, 32> seed_key{};
  store_le<uint64_t>(seed_key.data(), seed);
  crypto_generichash(key_.data(), key_.size(), reinterpret_cast<const uint8_t*>(name.data()), name.size(),
                     seed_key.data(), seed_key.size());
}

void SeededRandom::fill(MutableBytes out) noexcept {
  constexpr std::array<uint8_t, crypto_stream_chacha20_NONCEBYTES> kNonce{};
  while (!out.empty()) {
    if (used_ == block_.size()) {
      block_.fill(0);
      crypto_stream_chacha20_xor_ic(block_.data(), block_.data(), block_.size(), kNonce.data(), next_block_++,
                                    key_.data());
      used_ = 0;
    }
    const size_t count = std::min(out.size(), block_.size() - used_);
    copy_bytes(BytesView(block_).subspan(used_, count), out);
    used_ += count;
    out = out.subspan(count);
  }
}

uint64_t SeededRandom::next() noexcept {
  std::array<uint8_t, 8> bytes{};
  fill(bytes);
  return load_le<uint64_t>(bytes.data());
}

uint64_t SeededRandom::below(uint64_t bound) noexcept {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((Wide{next()} * bound) >> 64);  // bias below 2^-40 for every bound in use
}

bool SeededRandom::chance(double probability) noexcept {
  return static_cast<double>(next() >> 11) * 0x1p-53 < probability;
}

}  // namespace vpn::sim
