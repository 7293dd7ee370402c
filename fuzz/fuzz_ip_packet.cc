// What the tunnel reads of an inner IP packet, against a field-by-field reading of RFC 791 and RFC 8200, and
// the outer ECN field on leaving the tunnel against the table of RFC 6040 section 4.2: nothing but the ECN
// bits and the IPv4 header checksum may change, and a checksum that was right stays right.
#include <vector>

#include "fuzz/input.h"
#include "vpn/base/check.h"
#include "vpn/wire/ip_packet.h"

namespace vpn {
namespace {

constexpr uint8_t kNotEct = 0;

// Row: inner ECN; column: outer ECN (Not-ECT, ECT(1), ECT(0), CE). CE outside of a Not-ECT packet leaves it
// as it is, as the header of wire/ip_packet.h explains.
constexpr uint8_t kLeavingEcn[4][4] = {
    {kNotEct, kNotEct, kNotEct, kNotEct}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};

uint16_t word(BytesView bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// The one's-complement sum of a header whose checksum is right is 0xffff.
bool checksum_right(BytesView header) {
  uint32_t sum = 0;
  for (size_t at = 0; at < header.size(); at += 2) sum += word(header, at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum == 0xffff;
}

struct Expected {
  std::optional<wire::IpError> error;
  size_t header = 0, length = 0, source_at = 0, address_bytes = 0;
  uint8_t ecn = 0;
};

Expected expect_ipv4(BytesView bytes) {
  if (bytes.size() < 20) return {wire::IpError::kLength};
  const size_t header = size_t{bytes[0] & 15u} * 4;
  const size_t length = word(bytes, 2);
  if (header < 20 || header > length || length > bytes.size()) return {wire::IpError::kLength};
  return {std::nullopt, header, length, 12, 4, static_cast<uint8_t>(bytes[1] & 3)};
}

Expected expect_ipv6(BytesView bytes) {
  if (bytes.size() < 40) return {wire::IpError::kLength};
  const size_t length = 40u + word(bytes, 4);
  if (length > bytes.size()) return {wire::IpError::kLength};
  return {std::nullopt, 40, length, 8, 16, static_cast<uint8_t>(bytes[1] >> 4 & 3)};
}

Expected expect(BytesView bytes) {
  if (bytes.empty()) return {wire::IpError::kLength};
  if (bytes[0] >> 4 == 4) return expect_ipv4(bytes);
  if (bytes[0] >> 4 == 6) return expect_ipv6(bytes);
  return {wire::IpError::kNotIp};
}

bool equal(BytesView a, BytesView b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

void check_ecn(BytesView packet, const Expected& expected, uint8_t outer) {
  std::vector<uint8_t> changed(packet.begin(), packet.end());
  wire::apply_outer_ecn(changed, outer);
  const auto again = wire::parse_ip_packet(changed);
  VPN_CHECK(again && again->ecn == kLeavingEcn[expected.ecn][outer]);
  if (again->ecn == expected.ecn) {
    VPN_CHECK(equal(changed, packet));
    return;
  }
  const bool ipv4 = expected.address_bytes == 4;
  if (ipv4 && checksum_right(packet.first(expected.header))) {
    VPN_CHECK(checksum_right(BytesView(changed).first(expected.header)));
  }
  // Undo what may change; the rest is the same.
  changed[1] = packet[1];
  if (ipv4) std::copy(packet.begin() + 10, packet.begin() + 12, changed.begin() + 10);
  VPN_CHECK(equal(changed, packet));
}

}  // namespace
}  // namespace vpn

// The first byte: the outer ECN field in its bits 0 and 1. The rest: the packet, padding included. A right
// checksum is put in where bit 2 of the first byte asks for it, since chance seldom makes one.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  fuzz::Input input({data, size});
  const auto choice = input.take<uint8_t>();
  std::vector<uint8_t> packet(input.rest().begin(), input.rest().end());
  const Expected expected = expect(packet);
  if ((choice & 4) != 0 && !expected.error && expected.address_bytes == 4) {
    packet[10] = packet[11] = 0;
    uint32_t sum = 0;
    for (size_t at = 0; at < expected.header; at += 2) sum += word(packet, at);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    store_be(packet.data() + 10, static_cast<uint16_t>(~sum));
  }

  const auto parsed = wire::parse_ip_packet(packet);
  VPN_CHECK(parsed.has_value() == !expected.error);
  if (!parsed) {
    VPN_CHECK(parsed.error() == *expected.error);
    return 0;
  }
  const BytesView bytes(packet);
  VPN_CHECK(parsed->length == expected.length && parsed->ecn == expected.ecn);
  VPN_CHECK(equal(parsed->source.bytes(), bytes.subspan(expected.source_at, expected.address_bytes)));
  VPN_CHECK(equal(parsed->destination.bytes(),
                  bytes.subspan(expected.source_at + expected.address_bytes, expected.address_bytes)));
  check_ecn(packet, expected, choice & 3);
  return 0;
}
