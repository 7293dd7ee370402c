#include "lab/impair/frame.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "vpn/base/endian.h"

namespace lab {
namespace {

// The Internet checksum of a UDP datagram over IPv4, the slow way.
uint16_t udp_checksum(const std::vector<uint8_t>& frame) {
  const size_t ip = kEthernetHeaderBytes;
  const size_t udp = ip + 20;
  const size_t length = frame.size() - udp;
  uint64_t sum = 17 + length;
  for (size_t i = ip + 12; i < ip + 20; i += 2) sum += static_cast<uint64_t>(frame[i] << 8 | frame[i + 1]);
  for (size_t i = 0; i < length; i += 2) {
    if (i == 6) continue;  // the checksum itself
    const unsigned low = i + 1 < length ? frame[udp + i + 1] : 0U;
    sum += static_cast<uint64_t>(frame[udp + i] << 8 | static_cast<int>(low));
  }
  while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
  const auto result = static_cast<uint16_t>(~sum);
  return result == 0 ? uint16_t{0xFFFF} : result;
}

std::vector<uint8_t> udp_frame(size_t payload_bytes) {
  std::vector<uint8_t> frame(kEthernetHeaderBytes + 28 + payload_bytes);
  std::iota(frame.begin(), frame.end(), uint8_t{1});
  uint8_t* const ip = frame.data() + kEthernetHeaderBytes;
  vpn::store_be<uint16_t>(frame.data() + 12, 0x0800);
  ip[0] = 0x45;
  vpn::store_be<uint16_t>(ip + 2, static_cast<uint16_t>(28 + payload_bytes));
  vpn::store_be<uint16_t>(ip + 6, 0);
  ip[9] = 17;
  vpn::store_be<uint16_t>(ip + 24, static_cast<uint16_t>(8 + payload_bytes));
  vpn::store_be<uint16_t>(ip + 26, udp_checksum(frame));
  return frame;
}

TEST(CorruptFrame, DamagesOneBitOfThePayloadAndMendsTheChecksum) {
  for (const size_t payload : {1U, 2U, 33U, 148U, 1400U}) {
    for (uint64_t draw = 0; draw < 1ULL << 32; draw += 0x03FFFFFFULL) {
      const auto before = udp_frame(payload);
      auto after = before;
      corrupt_frame(static_cast<uint32_t>(draw), after, false);
      int bits = 0;
      for (size_t i = kEthernetHeaderBytes + 28; i < after.size(); ++i)
        bits += __builtin_popcount(before[i] ^ after[i]);
      EXPECT_EQ(bits, 1);
      EXPECT_EQ(vpn::load_be<uint16_t>(after.data() + kEthernetHeaderBytes + 26), udp_checksum(after));
    }
  }
}

TEST(CorruptFrame, LeavesAChecksumAloneThatTheReceiverFillsIn) {
  const auto before = udp_frame(100);
  auto after = before;
  corrupt_frame(1, after, true);
  EXPECT_NE(before, after);
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + kEthernetHeaderBytes + 28, after.begin()));
}

TEST(CorruptFrame, LeavesTheEthernetHeaderOfOtherFramesAlone) {
  std::vector<uint8_t> frame(60, 0);
  vpn::store_be<uint16_t>(frame.data() + 12, 0x0806);
  auto after = frame;
  corrupt_frame(0x80000000U, after, false);
  EXPECT_NE(frame, after);
  EXPECT_TRUE(std::equal(frame.begin(), frame.begin() + kEthernetHeaderBytes, after.begin()));
}

TEST(Frame, CountsTheSegmentsOfAnUnsegmentedFrame) {
  EXPECT_EQ(segment_count(VirtioHeader{}, 9000), 1U);
  const VirtioHeader tcp{0, 1, 66, 1448, 0, 0};
  EXPECT_EQ(segment_count(tcp, 66 + 1448 * 3), 3U);
  EXPECT_EQ(segment_count(tcp, 66 + 1448 * 3 + 1), 4U);
  EXPECT_EQ(segment_count(tcp, 66), 1U);
}

TEST(Frame, MeasuresIpPacketsOnly) {
  EXPECT_EQ(ip_packet_bytes(udp_frame(100)), 128U);
  std::vector<uint8_t> arp(60, 0);
  vpn::store_be<uint16_t>(arp.data() + 12, 0x0806);
  EXPECT_EQ(ip_packet_bytes(arp), 0U);
  EXPECT_EQ(ip_packet_bytes({}), 0U);
}

}  // namespace
}  // namespace lab
