#include "vpn/offload/checksum.h"

#include <bit>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

// One's-complement sums of `bytes` as words of this machine's byte order. The portable one adds 64 bits at a
// time.
uint64_t native_sum_portable(BytesView bytes) noexcept {
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  uint64_t sum = 0;
  for (; left >= 8; at += 8, left -= 8) sum = add_with_carry(sum, load_native(at));
  if (left > 0) {
    uint8_t tail[8] = {};
    std::memcpy(tail, at, left);
    sum = add_with_carry(sum, load_native(tail));
  }
  return sum;
}

#if defined(__x86_64__)
constexpr size_t kVectorBytes = 32;
constexpr size_t kStrideBytes = 2 * kVectorBytes;
constexpr size_t kWorthVectors = 4 * kStrideBytes;

// Adds the 32-bit halves of every 64-bit lane apart, so that no carry is lost below 2^32 vectors.
__attribute__((target("avx2"))) uint64_t native_sum_avx2(BytesView bytes) noexcept {
  const __m256i low_half = _mm256_set1_epi64x(0xffffffff);
  __m256i low[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  __m256i high[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= kStrideBytes; at += kStrideBytes, left -= kStrideBytes) {
    for (size_t lane = 0; lane < 2; ++lane) {
      __m256i words;
      std::memcpy(&words, at + lane * kVectorBytes, sizeof words);
      low[lane] = _mm256_add_epi64(low[lane], _mm256_and_si256(words, low_half));
      high[lane] = _mm256_add_epi64(high[lane], _mm256_srli_epi64(words, 32));
    }
  }
  const __m256i total =
      _mm256_add_epi64(_mm256_add_epi64(low[0], low[1]), _mm256_add_epi64(high[0], high[1]));
  uint64_t lanes[4];
  std::memcpy(lanes, &total, sizeof lanes);
  uint64_t sum = native_sum_portable({at, left});
  for (const uint64_t lane : lanes) sum = add_with_carry(sum, lane);
  return sum;
}
#endif

uint64_t native_sum(BytesView bytes) noexcept {
#if defined(__x86_64__)
  if (bytes.size() >= kWorthVectors && __builtin_cpu_supports("avx2")) return native_sum_avx2(bytes);
#endif
  return native_sum_portable(bytes);
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
