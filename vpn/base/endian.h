// Loads and stores of fixed-width integers at any alignment, by memcpy, so that no aliasing rule is broken.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>

namespace vpn {

static_assert(std::endian::native == std::endian::little || std::endian::native == std::endian::big);

// The value with its bytes in the opposite order.
template <std::unsigned_integral T>
constexpr T byte_swap(T value) noexcept {
  if constexpr (sizeof(T) == 1) {
    return value;
  } else if constexpr (sizeof(T) == 2) {
    return __builtin_bswap16(value);
  } else if constexpr (sizeof(T) == 4) {
    return __builtin_bswap32(value);
  } else {
    static_assert(sizeof(T) == 8);
    return __builtin_bswap64(value);
  }
}

// The number at `from`, which has sizeof(T) bytes and any alignment: least significant byte first, or last.
template <std::unsigned_integral T>
T load_le(const uint8_t* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return std::endian::native == std::endian::little ? value : byte_swap(value);
}

// As load_le, most significant byte first.
template <std::unsigned_integral T>
T load_be(const uint8_t* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return std::endian::native == std::endian::big ? value : byte_swap(value);
}

// Writes sizeof(T) bytes to `to`, at any alignment, least significant byte first.
template <std::unsigned_integral T>
void store_le(uint8_t* to, T value) noexcept {
  if constexpr (std::endian::native != std::endian::little) value = byte_swap(value);
  std::memcpy(to, &value, sizeof value);
}

// As store_le, most significant byte first.
template <std::unsigned_integral T>
void store_be(uint8_t* to, T value) noexcept {
  if constexpr (std::endian::native != std::endian::big) value = byte_swap(value);
  std::memcpy(to, &value, sizeof value);
}

}  // namespace vpn
