#include "vpn/offload/checksum.h"

#include <bit>

#include "vpn/base/endian.h"

namespace vpn::offload {
namespace {

uint64_t load_native(const uint8_t* from) noexcept {
  uint64_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

uint64_t add_with_carry(uint64_t a, uint64_t b) noexcept {
  uint64_t sum = 0;
  const bool carry = __builtin_add_overflow(a, b, &sum);
  return sum + (carry ? 1 : 0);
}

uint16_t fold(uint64_t sum) noexcept {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// The one's-complement sum of `bytes` as words of this machine's byte order: four lanes of 32-bit halves in
// 64-bit sums, which cannot overflow below 2^32 words and which compilers turn into vector instructions.
uint64_t native_sum(BytesView bytes) noexcept {
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  uint64_t lanes[8] = {};
  for (; left >= 32; at += 32, left -= 32) {
    for (size_t lane = 0; lane < 4; ++lane) {
      const uint64_t word = load_native(at + 8 * lane);
      lanes[2 * lane] += word & 0xffffffff;
      lanes[2 * lane + 1] += word >> 32;
    }
  }
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) sum = add_with_carry(sum, lane);
  for (; left >= 8; at += 8, left -= 8) sum = add_with_carry(sum, load_native(at));
  if (left > 0) {
    uint8_t tail[8] = {};
    std::memcpy(tail, at, left);
    sum = add_with_carry(sum, load_native(tail));
  }
  return sum;
}

}  // namespace

PartialSum add_to_sum(PartialSum sum, BytesView bytes) noexcept {
  if (bytes.empty()) return sum;
  const uint16_t native =
      fold(native_sum(bytes));  // RFC 1071 section 2(B): swapping the sum's bytes swaps every word's
  return sum + (std::endian::native == std::endian::little ? byte_swap(native) : native);
}

uint16_t fold_sum(PartialSum sum) noexcept {
  return fold(sum);
}

PartialSum pseudo_header_sum(BytesView addresses, uint8_t protocol, size_t transport_bytes) noexcept {
  PartialSum sum = add_to_sum(PartialSum{0}, addresses);
  sum += protocol;
  sum += transport_bytes & 0xffff;
  sum += transport_bytes >> 16;
  return sum;
}

}  // namespace vpn::offload
