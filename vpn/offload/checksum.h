// The Internet checksum (RFC 1071), fast enough to run over every byte that passes.
#pragma once

#include <cstdint>

#include "vpn/base/bytes.h"
#include "vpn/base/ip_address.h"

namespace vpn::offload {

// A sum being taken: 16-bit words in one's complement, in the byte order of the network, not yet folded. Only
// the last part of a sum may have an odd length.
using PartialSum = uint64_t;

// Adds `bytes` to a sum.
[[nodiscard]] PartialSum add_to_sum(PartialSum sum, BytesView bytes) noexcept;
// Adds one 16-bit number.
[[nodiscard]] constexpr PartialSum add_to_sum(PartialSum sum, uint16_t value) noexcept {
  return sum + value;
}
// Folds to 16 bits, not complemented.
[[nodiscard]] uint16_t fold_sum(PartialSum sum) noexcept;
// What belongs in a checksum field (host byte order; store it big-endian).
[[nodiscard]] inline uint16_t checksum_of(PartialSum sum) noexcept {
  return static_cast<uint16_t>(~fold_sum(sum));
}

// The sum of the pseudo header of TCP and UDP over IPv4 (RFC 793) or IPv6 (RFC 8200 section 8.1). `addresses`
// is source ‖ destination, 8 or 32 bytes.
[[nodiscard]] PartialSum pseudo_header_sum(BytesView addresses, uint8_t protocol,
                                           size_t transport_bytes) noexcept;

}  // namespace vpn::offload
