// Input: a fuzzer's bytes read as decisions. It never fails: past its end every value is zero, so each input
// means something and a prefix of an input means a prefix of its decisions.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "vpn/base/byte_reader.h"
#include "vpn/base/bytes.h"
#include "vpn/base/endian.h"

// What libFuzzer (or fuzz/replay_main.cc) calls.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace vpn::fuzz {

class Input {
 public:
  explicit Input(BytesView bytes) noexcept : reader_(bytes) {}

  [[nodiscard]] bool empty() const noexcept { return reader_.remaining() == 0; }
  [[nodiscard]] BytesView rest() const noexcept { return reader_.rest(); }

  // The next value, little-endian.
  template <std::unsigned_integral T>
  T take() noexcept {
    std::array<uint8_t, sizeof(T)> bytes{};
    fill(bytes);
    return load_le<T>(bytes.data());
  }

  bool flag() noexcept { return (take<uint8_t>() & 1) != 0; }

  // A value of 0 … bound − 1.
  template <std::unsigned_integral T>
  T below(T bound) noexcept {
    return static_cast<T>(take<T>() % bound);
  }

  // The next `count` bytes, or as many as are left.
  BytesView bytes(size_t count) noexcept { return *reader_.take(std::min(count, reader_.remaining())); }

  // Fills `out`; what the input has not is zero.
  void fill(MutableBytes out) noexcept {
    const BytesView taken = bytes(out.size());
    copy_bytes(taken, out);
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(taken.size()), out.end(), uint8_t{0});
  }

 private:
  ByteReader reader_;
};

}  // namespace vpn::fuzz
