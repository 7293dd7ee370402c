#include "lab/impair/icmp.h"

#include <gtest/gtest.h>

#include "lab/impair/frame.h"
#include "vpn/base/endian.h"

namespace lab {
namespace {

using Bytes = std::vector<uint8_t>;
using vpn::BytesView;

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;

// The Internet checksum over the words of several pieces (RFC 1071): 0 over what holds a right one.
uint16_t checksum_of(std::initializer_list<BytesView> pieces) {
  uint32_t sum = 0;
  for (const BytesView piece : pieces) {
    for (size_t i = 0; i < piece.size(); ++i) sum += uint32_t{piece[i]} << (i % 2 == 0 ? 8 : 0);
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

Bytes ethernet(uint16_t type) {
  Bytes frame = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0, 0};
  vpn::store_be(frame.data() + 12, type);
  return frame;
}

// UDP from 192.0.2.1 to 192.0.2.2, `bytes` of IP in all; its payload counts upwards.
Bytes ipv4_frame(size_t bytes, bool dont_fragment, uint8_t protocol = 17) {
  Bytes frame = ethernet(0x0800);
  frame.resize(kEthernetHeaderBytes + bytes);
  uint8_t* const ip = frame.data() + kEthernetHeaderBytes;
  ip[0] = 0x45;
  vpn::store_be(ip + 2, static_cast<uint16_t>(bytes));
  vpn::store_be(ip + 4, uint16_t{0x1234});
  ip[6] = dont_fragment ? 0x40 : 0;
  ip[8] = 64;
  ip[9] = protocol;
  vpn::copy_bytes(Bytes{192, 0, 2, 1, 192, 0, 2, 2}, {ip + 12, 8});
  for (size_t i = kIpv4Bytes; i < bytes; ++i) ip[i] = static_cast<uint8_t>(i);
  vpn::store_be(ip + 10, checksum_of({{ip, kIpv4Bytes}}));
  return frame;
}

Bytes ipv6_frame(size_t bytes, uint8_t next_header = 17) {
  Bytes frame = ethernet(0x86DD);
  frame.resize(kEthernetHeaderBytes + bytes);
  uint8_t* const ip = frame.data() + kEthernetHeaderBytes;
  ip[0] = 0x60;
  vpn::store_be(ip + 4, static_cast<uint16_t>(bytes - kIpv6Bytes));
  ip[6] = next_header;
  ip[7] = 64;
  ip[8] = 0xfd;
  ip[23] = 1;
  ip[24] = 0xfd;
  ip[39] = 2;
  return frame;
}

BytesView packet_of(const Bytes& frame) {
  return BytesView(frame).subspan(kEthernetHeaderBytes);
}

TEST(Icmp, TellsAnIpv4SenderTheMtu) {
  const Bytes frame = ipv4_frame(1400, /*dont_fragment=*/true);
  const Bytes answer = too_big_answer(frame, 1280);
  ASSERT_EQ(answer.size(), kEthernetHeaderBytes + kIpv4Bytes + 8 + kIpv4Bytes + 8);
  EXPECT_TRUE(std::equal(answer.begin(), answer.begin() + 6, frame.begin() + 6))
      << "to the sender's MAC address";
  EXPECT_TRUE(std::equal(answer.begin() + 6, answer.begin() + 12, frame.begin()));
  const BytesView ip = packet_of(answer);
  EXPECT_EQ(vpn::load_be<uint16_t>(ip.data() + 2), ip.size());
  EXPECT_EQ(ip[9], 1);
  EXPECT_EQ(checksum_of({ip.first(kIpv4Bytes)}), 0);
  EXPECT_EQ((Bytes{ip.begin() + 12, ip.begin() + 20}), (Bytes{192, 0, 2, 2, 192, 0, 2, 1}));
  const BytesView icmp = ip.subspan(kIpv4Bytes);
  EXPECT_EQ(icmp[0], 3);
  EXPECT_EQ(icmp[1], 4);
  EXPECT_EQ(vpn::load_be<uint16_t>(icmp.data() + 6), 1280);
  EXPECT_EQ(checksum_of({icmp}), 0);
  EXPECT_TRUE(std::ranges::equal(icmp.subspan(8), packet_of(frame).first(kIpv4Bytes + 8)))
      << "what it is about";
}

TEST(Icmp, TellsAnIpv6SenderTheMtu) {
  const Bytes frame = ipv6_frame(1400);
  const Bytes answer = too_big_answer(frame, 1280);
  const BytesView ip = packet_of(answer);
  ASSERT_EQ(ip.size(), 1280u) << "as much of the packet as fits the least MTU (RFC 4443, section 2.4)";
  EXPECT_EQ(vpn::load_be<uint16_t>(ip.data() + 4), ip.size() - kIpv6Bytes);
  EXPECT_EQ(ip[6], 58);
  EXPECT_EQ(ip[23], 2);
  EXPECT_EQ(ip[39], 1);
  const BytesView icmp = ip.subspan(kIpv6Bytes);
  EXPECT_EQ(icmp[0], 2);
  EXPECT_EQ(vpn::load_be<uint32_t>(icmp.data() + 4), 1280u);
  Bytes pseudo(ip.begin() + 8, ip.begin() + 40);
  pseudo.resize(pseudo.size() + 8);
  vpn::store_be(pseudo.data() + 32, static_cast<uint32_t>(icmp.size()));
  pseudo.back() = 58;
  EXPECT_EQ(checksum_of({pseudo, icmp}), 0);
}

TEST(Icmp, IsSilentWhereARouterWouldBe) {
  EXPECT_TRUE(too_big_answer(ipv4_frame(1400, false), 1280).empty()) << "may be fragmented";
  EXPECT_TRUE(too_big_answer(ethernet(0x0806), 1280).empty()) << "ARP";
  EXPECT_TRUE(too_big_answer({}, 1280).empty());
  Bytes error = ipv4_frame(1400, true, 1);
  error[kEthernetHeaderBytes + kIpv4Bytes] = 3;
  EXPECT_TRUE(too_big_answer(error, 1280).empty()) << "an ICMP error";
  error[kEthernetHeaderBytes + kIpv4Bytes] = 8;
  EXPECT_FALSE(too_big_answer(error, 1280).empty()) << "an echo request";
  Bytes multicast = ipv4_frame(1400, true);
  multicast[kEthernetHeaderBytes + 16] = 224;
  EXPECT_TRUE(too_big_answer(multicast, 1280).empty());
  Bytes cut = ipv4_frame(1400, true);
  cut.resize(kEthernetHeaderBytes + kIpv4Bytes - 1);
  EXPECT_TRUE(too_big_answer(cut, 1280).empty());
}

TEST(Icmp, FragmentsPutTogetherAreThePacket) {
  const Bytes frame = ipv4_frame(1400, false);
  const auto fragments = fragments_of(frame, 576);
  ASSERT_EQ(fragments.size(), 3u);
  Bytes payload;
  for (size_t i = 0; i < fragments.size(); ++i) {
    const BytesView ip = packet_of(fragments[i]);
    EXPECT_LE(ip.size(), 576u);
    EXPECT_EQ(vpn::load_be<uint16_t>(ip.data() + 2), ip.size());
    EXPECT_EQ(checksum_of({ip.first(kIpv4Bytes)}), 0);
    const auto field = vpn::load_be<uint16_t>(ip.data() + 6);
    EXPECT_EQ((field & 0x1fff) * 8u, payload.size()) << "its place";
    EXPECT_EQ((field & 0x2000) != 0, i + 1 < fragments.size()) << "whether more follow";
    payload.insert(payload.end(), ip.begin() + kIpv4Bytes, ip.end());
  }
  EXPECT_TRUE(std::ranges::equal(payload, packet_of(frame).subspan(kIpv4Bytes)));
}

TEST(Icmp, FragmentsNothingThatMustStayWhole) {
  EXPECT_TRUE(fragments_of(ipv4_frame(1400, true), 576).empty());
  EXPECT_TRUE(fragments_of(ipv6_frame(1400), 1280).empty());
  Bytes lies = ipv4_frame(1400, false);
  vpn::store_be(lies.data() + kEthernetHeaderBytes + 2, uint16_t{1500});
  EXPECT_TRUE(fragments_of(lies, 576).empty()) << "longer than the frame";
}

}  // namespace
}  // namespace lab
