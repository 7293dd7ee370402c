// IP addresses, prefixes and UDP endpoints as values, with their usual text forms.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vpn/base/bytes.h"

namespace vpn {

enum class IpFamily : uint8_t { kIpv4 = 4, kIpv6 = 6 };

// An IPv4 or IPv6 address, in network byte order.
class IpAddress {
 public:
  constexpr IpAddress() noexcept = default;  // 0.0.0.0
  static IpAddress ipv4(std::span<const uint8_t, 4> bytes) noexcept;
  static IpAddress ipv6(std::span<const uint8_t, 16> bytes) noexcept;
  static constexpr IpAddress ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) noexcept {
    IpAddress address;
    address.bytes_ = {a, b, c, d};
    return address;
  }
  // Accepts what inet_pton accepts: dotted quads and IPv6 text, no zone, no brackets.
  static std::optional<IpAddress> parse(std::string_view text);

  [[nodiscard]] constexpr IpFamily family() const noexcept { return family_; }
  [[nodiscard]] constexpr bool is_ipv4() const noexcept { return family_ == IpFamily::kIpv4; }
  // 4 or 16 bytes.
  [[nodiscard]] BytesView bytes() const noexcept {
    return {bytes_.data(), is_ipv4() ? size_t{4} : size_t{16}};
  }
  [[nodiscard]] constexpr unsigned bit_count() const noexcept { return is_ipv4() ? 32 : 128; }
  // The bit at `position`, 0 being the most significant.
  [[nodiscard]] constexpr bool bit(unsigned position) const noexcept {
    return (bytes_[position / 8] >> (7 - position % 8)) & 1;
  }
  // This address with all but the first `length` bits cleared.
  [[nodiscard]] IpAddress masked(unsigned length) const noexcept;
  [[nodiscard]] std::string to_string() const;

  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  IpFamily family_ = IpFamily::kIpv4;
  std::array<uint8_t, 16> bytes_{};  // IPv4 uses the first four; the rest stay zero
};

// An address with a prefix length. `host_bits` of the address are kept as given; normalized() clears them.
struct IpPrefix {
  IpAddress address;
  uint8_t length = 0;

  // "10.0.0.0/8", "fd00::/8", or a bare address (its whole length).
  static std::optional<IpPrefix> parse(std::string_view text);
  [[nodiscard]] bool contains(const IpAddress& other) const noexcept;
  [[nodiscard]] IpPrefix normalized() const noexcept { return {address.masked(length), length}; }
  [[nodiscard]] std::string to_string() const;

  friend constexpr auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

// Address, port and, for link-local IPv6, the interface number.
struct UdpAddress {
  IpAddress address;
  uint16_t port = 0;      // host byte order
  uint32_t scope_id = 0;  // IPv6 link-local only; else 0

  // "192.0.2.1:51820" or "[2001:db8::1]:51820" with an optional numeric "%scope" inside the brackets; names
  // are not resolved here.
  static std::optional<UdpAddress> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;

  friend constexpr auto operator<=>(const UdpAddress&, const UdpAddress&) = default;
};

}  // namespace vpn
