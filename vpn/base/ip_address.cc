#include "vpn/base/ip_address.h"

#include <arpa/inet.h>

#include <charconv>

namespace vpn {
namespace {

// A decimal number without sign, blanks or leading plus, at most `max`.
template <typename T>
std::optional<T> parse_number(std::string_view text, T max) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty() || value > max)
    return std::nullopt;
  return value;
}

}  // namespace

IpAddress IpAddress::ipv4(std::span<const uint8_t, 4> bytes) noexcept {
  IpAddress address;
  copy_bytes(bytes, address.bytes_);
  return address;
}

IpAddress IpAddress::ipv6(std::span<const uint8_t, 16> bytes) noexcept {
  IpAddress address;
  address.family_ = IpFamily::kIpv6;
  copy_bytes(bytes, address.bytes_);
  return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string terminated(text);
  if (terminated.size() != text.size() || terminated.find('\0') != std::string::npos) return std::nullopt;
  std::array<uint8_t, 16> bytes{};
  if (inet_pton(AF_INET, terminated.c_str(), bytes.data()) == 1) return ipv4(std::span(bytes).first<4>());
  if (inet_pton(AF_INET6, terminated.c_str(), bytes.data()) == 1) return ipv6(bytes);
  return std::nullopt;
}

IpAddress IpAddress::masked(unsigned length) const noexcept {
  IpAddress result = *this;
  for (unsigned index = 0; index < result.bytes_.size(); ++index) {
    const unsigned kept = length > index * 8 ? length - index * 8 : 0;
    if (kept < 8) result.bytes_[index] = static_cast<uint8_t>(result.bytes_[index] & ~(0xff >> kept));
  }
  return result;
}

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(is_ipv4() ? AF_INET : AF_INET6, bytes_.data(), text, sizeof text);
  return text;
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return IpPrefix{*address, static_cast<uint8_t>(address->bit_count())};
  const auto length = parse_number<unsigned>(text.substr(slash + 1), address->bit_count());
  if (!length) return std::nullopt;
  return IpPrefix{*address, static_cast<uint8_t>(*length)};
}

bool IpPrefix::contains(const IpAddress& other) const noexcept {
  return other.masked(length) == address.masked(length);  // never equal for another family
}

std::string IpPrefix::to_string() const {
  return address.to_string() + "/" + std::to_string(length);
}

std::optional<UdpAddress> UdpAddress::parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_number<uint16_t>(text.substr(colon + 1), 65535);
  if (!port) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  uint32_t scope_id = 0;
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) {
    host = host.substr(1, host.size() - 2);
    if (const size_t percent = host.find('%'); percent != std::string_view::npos) {
      const auto scope = parse_number<uint32_t>(host.substr(percent + 1), UINT32_MAX);
      if (!scope) return std::nullopt;
      scope_id = *scope;
      host = host.substr(0, percent);
    }
  }
  const auto address = IpAddress::parse(host);
  if (!address || address->is_ipv4() == bracketed) return std::nullopt;
  return UdpAddress{*address, *port, scope_id};
}

std::string UdpAddress::to_string() const {
  if (address.is_ipv4()) return address.to_string() + ":" + std::to_string(port);
  const std::string scope = scope_id != 0 ? "%" + std::to_string(scope_id) : "";
  return "[" + address.to_string() + scope + "]:" + std::to_string(port);
}

}  // namespace vpn
