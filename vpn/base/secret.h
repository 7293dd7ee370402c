// Secret<N>: N bytes that are wiped when they go, cannot be printed, and compare in constant time.
#pragma once

#include <sodium.h>

#include <array>
#include <utility>

#include "vpn/base/bytes.h"
#include "vpn/base/check.h"

namespace vpn {

// libsodium's one-time start-up, for any thread and any number of times. Guarded memory needs it.
inline void initialize_sodium() noexcept {
  VPN_CHECK(sodium_init() >= 0);
}

// Overwrites memory in a way the compiler may not leave out.
inline void wipe(MutableBytes bytes) noexcept {
  sodium_memzero(bytes.data(), bytes.size());
}

// Equality in time that depends on the length alone; a difference in length is false at once (lengths are
// public).
[[nodiscard]] inline bool equal_constant_time(BytesView a, BytesView b) noexcept {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

template <size_t N>
class Secret {
 public:
  // Starts as zeros.
  Secret() noexcept = default;
  explicit Secret(std::span<const uint8_t, N> bytes) noexcept { copy_bytes(bytes, bytes_); }
  Secret(const Secret& other) noexcept = default;
  Secret(Secret&& other) noexcept : bytes_(other.bytes_) { other.clear(); }
  Secret& operator=(const Secret& other) noexcept = default;
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      other.clear();
    }
    return *this;
  }
  ~Secret() { clear(); }

  void clear() noexcept { wipe(bytes_); }
  [[nodiscard]] bool is_zero() const noexcept { return sodium_is_zero(bytes_.data(), N) == 1; }

  // The bytes themselves, for the primitives; never for output.
  [[nodiscard]] std::span<const uint8_t, N> view() const noexcept { return bytes_; }
  [[nodiscard]] std::span<uint8_t, N> mutable_view() noexcept { return bytes_; }

  [[nodiscard]] friend bool operator==(const Secret& a, const Secret& b) noexcept {
    return equal_constant_time(a.bytes_, b.bytes_);
  }

 private:
  std::array<uint8_t, N> bytes_{};
};

// LockedSecret<N>: a Secret for long-term keys, in guarded pages that are locked against swapping where the
// system allows it, and left out of core dumps. Movable, not copyable; what was moved from holds nothing, and
// view() of it is a mistake that ends the process.
template <size_t N>
class LockedSecret {
 public:
  // Starts as zeros.
  LockedSecret() noexcept : bytes_(allocate()) { wipe({bytes_, N}); }
  explicit LockedSecret(std::span<const uint8_t, N> bytes) noexcept : bytes_(allocate()) {
    copy_bytes(bytes, {bytes_, N});
  }
  LockedSecret(const LockedSecret&) = delete;
  LockedSecret& operator=(const LockedSecret&) = delete;
  LockedSecret(LockedSecret&& other) noexcept : bytes_(std::exchange(other.bytes_, nullptr)) {}
  LockedSecret& operator=(LockedSecret&& other) noexcept {
    if (this != &other) {
      sodium_free(bytes_);
      bytes_ = std::exchange(other.bytes_, nullptr);
    }
    return *this;
  }
  ~LockedSecret() { sodium_free(bytes_); }  // wipes first

  // The bytes themselves, for the primitives; never for output.
  [[nodiscard]] std::span<const uint8_t, N> view() const noexcept {
    VPN_CHECK(bytes_ != nullptr);
    return std::span<const uint8_t, N>(bytes_, N);
  }

 private:
  [[nodiscard]] static uint8_t* allocate() noexcept {
    initialize_sodium();
    auto* bytes = static_cast<uint8_t*>(sodium_malloc(N));
    VPN_CHECK(bytes != nullptr);
    return bytes;
  }

  uint8_t* bytes_;
};

}  // namespace vpn
