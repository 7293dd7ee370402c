// ByteReader: takes fields off the front of a buffer, and says so when they are not all there.
#pragma once

#include <optional>

#include "vpn/base/bytes.h"
#include "vpn/base/endian.h"

namespace vpn {

class ByteReader {
 public:
  explicit ByteReader(BytesView bytes) noexcept : rest_(bytes) {}

  [[nodiscard]] size_t remaining() const noexcept { return rest_.size(); }
  [[nodiscard]] BytesView rest() const noexcept { return rest_; }

  // The next `count` bytes, or nothing (and nothing consumed) when there are fewer.
  [[nodiscard]] std::optional<BytesView> take(size_t count) noexcept {
    if (count > rest_.size()) return std::nullopt;
    const BytesView taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }

  // The next number, little-endian; nothing, and nothing consumed, where fewer bytes are left.
  template <std::unsigned_integral T>
  [[nodiscard]] std::optional<T> take_le() noexcept {
    const auto bytes = take(sizeof(T));
    if (!bytes) return std::nullopt;
    return load_le<T>(bytes->data());
  }

  // The same, big-endian: the most significant byte comes first.
  template <std::unsigned_integral T>
  [[nodiscard]] std::optional<T> take_be() noexcept {
    const auto bytes = take(sizeof(T));
    if (!bytes) return std::nullopt;
    return load_be<T>(bytes->data());
  }

 private:
  BytesView rest_;
};

}  // namespace vpn
