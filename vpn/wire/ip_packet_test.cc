#include "vpn/wire/ip_packet.h"

#include <gtest/gtest.h>

#include <vector>

#include "vpn/base/endian.h"

namespace vpn::wire {
namespace {

std::vector<uint8_t> ipv4(size_t bytes, uint8_t tos = 0) {
  std::vector<uint8_t> packet(bytes);
  packet[0] = 0x45;
  packet[1] = tos;
  store_be(packet.data() + 2, static_cast<uint16_t>(bytes));
  packet[8] = 64;
  packet[9] = 17;
  packet[12] = 10;
  packet[15] = 1;
  packet[16] = 10;
  packet[19] = 2;
  return packet;
}

std::vector<uint8_t> ipv6(size_t bytes, uint8_t traffic_class = 0) {
  std::vector<uint8_t> packet(bytes);
  packet[0] = static_cast<uint8_t>(0x60 | (traffic_class >> 4));
  packet[1] = static_cast<uint8_t>((traffic_class << 4) | 0x0f);  // the flow label must survive
  store_be(packet.data() + 4, static_cast<uint16_t>(bytes - 40));
  packet[8] = 0xfd;
  packet[23] = 1;
  packet[24] = 0xfd;
  packet[39] = 2;
  return packet;
}

uint16_t ipv4_checksum(BytesView header) {
  uint32_t sum = 0;
  for (size_t offset = 0; offset < 20; offset += 2)
    sum += offset == 10 ? 0 : load_be<uint16_t>(header.data() + offset);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

TEST(ParseIpPacket, ReadsBothFamilies) {
  const auto four = *parse_ip_packet(ipv4(100, 2));
  EXPECT_EQ(four.source.to_string(), "10.0.0.1");
  EXPECT_EQ(four.destination.to_string(), "10.0.0.2");
  EXPECT_EQ(four.length, 100u);
  EXPECT_EQ(four.ecn, 2);
  const auto six = *parse_ip_packet(ipv6(100, 1));
  EXPECT_EQ(six.source.to_string(), "fd00::1");
  EXPECT_EQ(six.destination.to_string(), "fd00::2");
  EXPECT_EQ(six.length, 100u);
  EXPECT_EQ(six.ecn, 1);
}

TEST(ParseIpPacket, IgnoresPadding) {
  std::vector<uint8_t> packet = ipv4(33);
  packet.resize(48);
  EXPECT_EQ(parse_ip_packet(packet)->length, 33u);
}

TEST(ParseIpPacket, RefusesWhatIsNotIp) {
  for (unsigned version = 0; version < 16; ++version) {
    if (version == 4 || version == 6) continue;
    std::vector<uint8_t> packet(64);
    packet[0] = static_cast<uint8_t>(version << 4 | 5);
    EXPECT_EQ(parse_ip_packet(packet).error(), IpError::kNotIp);
  }
}

TEST(ParseIpPacket, RefusesDishonestLengths) {
  EXPECT_EQ(parse_ip_packet({}).error(), IpError::kLength);
  for (size_t size = 1; size < 20; ++size)
    EXPECT_EQ(parse_ip_packet(BytesView(ipv4(20)).first(size)).error(), IpError::kLength);
  for (size_t size = 1; size < 40; ++size)
    EXPECT_EQ(parse_ip_packet(BytesView(ipv6(40)).first(size)).error(), IpError::kLength);
  std::vector<uint8_t> packet = ipv4(100);
  store_be(packet.data() + 2, uint16_t{101});
  EXPECT_EQ(parse_ip_packet(packet).error(), IpError::kLength);
  store_be(packet.data() + 2, uint16_t{19});
  EXPECT_EQ(parse_ip_packet(packet).error(), IpError::kLength);
  store_be(packet.data() + 2, uint16_t{100});
  packet[0] = 0x44;  // a header of 16 bytes
  EXPECT_EQ(parse_ip_packet(packet).error(), IpError::kLength);
  packet[0] = 0x4f;  // options up to byte 60 of a packet that says it has 40
  store_be(packet.data() + 2, uint16_t{40});
  EXPECT_EQ(parse_ip_packet(packet).error(), IpError::kLength);
}

// A payload length near 65,535 plus the header must not wrap to something small.
TEST(ParseIpPacket, Ipv6LengthDoesNotWrap) {
  std::vector<uint8_t> packet = ipv6(100);
  for (const uint16_t payload : {uint16_t{0xfff0}, uint16_t{0xffd8}, uint16_t{0xffff}, uint16_t{61}}) {
    store_be(packet.data() + 4, payload);
    EXPECT_EQ(parse_ip_packet(packet).error(), IpError::kLength);
  }
}

// RFC 6040 section 4.2: rows are the inner field, columns the outer one.
TEST(ApplyOuterEcn, FollowsTheTable) {
  constexpr uint8_t kNot = 0, k1 = 1, k0 = 2, kC = 3;
  const uint8_t expected[4][4] = {
      {kNot, kNot, kNot, kNot}, {k1, k1, k1, kC}, {k0, k1, k0, kC}, {kC, kC, kC, kC}};
  for (uint8_t inner = 0; inner < 4; ++inner) {
    for (uint8_t outer = 0; outer < 4; ++outer) {
      std::vector<uint8_t> four = ipv4(60, static_cast<uint8_t>(0xb8 | inner));
      store_be(four.data() + 10, ipv4_checksum(four));
      apply_outer_ecn(four, outer);
      EXPECT_EQ(four[1], 0xb8 | expected[inner][outer]);
      EXPECT_EQ(load_be<uint16_t>(four.data() + 10), ipv4_checksum(four));
      std::vector<uint8_t> six = ipv6(60, static_cast<uint8_t>(0xb8 | inner));
      apply_outer_ecn(six, outer);
      EXPECT_EQ(six, ipv6(60, static_cast<uint8_t>(0xb8 | expected[inner][outer])));
    }
  }
}

}  // namespace
}  // namespace vpn::wire
