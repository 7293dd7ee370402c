#include "lab/topology/addresses.h"

#include <algorithm>
#include <array>

namespace lab {

using vpn::IpAddress;
using vpn::IpPrefix;

std::optional<IpPrefix> host_address(const IpPrefix& subnet, uint32_t number) {
  const unsigned host_bits = subnet.address.bit_count() - subnet.length;
  const uint64_t host_count = host_bits >= 32 ? uint64_t{1} << 32 : uint64_t{1} << host_bits;
  const bool has_broadcast = subnet.address.is_ipv4() && host_bits >= 2;
  if (number >= host_count || (has_broadcast && number == host_count - 1)) return std::nullopt;

  std::array<uint8_t, 16> bytes{};
  const IpAddress base = subnet.normalized().address;
  const auto from = base.bytes();
  std::copy(from.begin(), from.end(), bytes.begin());
  const size_t length = from.size();
  uint64_t carry = number;
  for (size_t i = length; i-- > 0 && carry > 0;) {
    carry += bytes[i];
    bytes[i] = static_cast<uint8_t>(carry);
    carry >>= 8;
  }
  const IpAddress address = subnet.address.is_ipv4() ? IpAddress::ipv4(std::span(bytes).first<4>())
                                                     : IpAddress::ipv6(std::span<const uint8_t, 16>(bytes));
  return IpPrefix{address, subnet.length};
}

bool overlap(const IpPrefix& a, const IpPrefix& b) {
  return a.address.family() == b.address.family() && (a.contains(b.address) || b.contains(a.address));
}

}  // namespace lab
