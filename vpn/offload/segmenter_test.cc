#include "vpn/offload/segmenter.h"

#include <gtest/gtest.h>

#include "vpn/base/endian.h"
#include "vpn/offload/checksum.h"
#include "vpn/offload/test_packets.h"

namespace vpn::offload {
namespace {

using testing::make_packet;
using testing::Packet;
using testing::PacketSpec;

VnetHeader header_for(const PacketSpec& spec, uint16_t segment_bytes) {
  VnetHeader header;
  header.needs_checksum = true;
  header.gso = !spec.tcp ? GsoKind::kUdp : spec.ipv4 ? GsoKind::kTcpIpv4 : GsoKind::kTcpIpv6;
  header.segment_bytes = segment_bytes;
  header.header_bytes = 0xffff;  // never to be believed
  return header;
}

std::vector<Packet> cut(const VnetHeader& header, const Packet& packet) {
  const auto segmenter = Segmenter::create(header, packet);
  EXPECT_TRUE(segmenter.has_value());
  std::vector<Packet> segments;
  for (size_t index = 0; index < segmenter->segment_count(); ++index) {
    segments.emplace_back(segmenter->segment_bytes(index));
    segmenter->write_segment(index, segments.back());
  }
  return segments;
}

TEST(Segmenter, SegmentsAreThePacketsTheKernelWouldHaveSent) {
  for (const bool ipv4 : {true, false}) {
    for (const bool tcp : {true, false}) {
      PacketSpec whole{.ipv4 = ipv4, .tcp = tcp, .flags = 0x18, .id = 0xfffe, .payload_bytes = 2500};
      const std::vector<Packet> segments = cut(header_for(whole, 1000), make_packet(whole));
      ASSERT_EQ(segments.size(), 3u);
      for (size_t index = 0; index < 3; ++index) {
        PacketSpec part = whole;
        part.payload_bytes = index == 2 ? 500 : 1000;
        part.payload_start = static_cast<uint8_t>(1000 * index);
        part.sequence = static_cast<uint32_t>(whole.sequence + 1000 * index);
        part.id = static_cast<uint16_t>(whole.id + index);
        if (index != 2) part.flags = 0x10;  // PSH on the last alone
        EXPECT_EQ(segments[index], make_packet(part)) << ipv4 << tcp << index;
        EXPECT_TRUE(testing::checksums_are_right(segments[index]));
      }
    }
  }
}

// [issue 9, deliver 1]
TEST(Segmenter, ASegmentPlacedWhereItsPayloadLiesIsTheOneWritten) {
  for (const bool ipv4 : {true, false}) {
    for (const bool tcp : {true, false}) {
      const PacketSpec spec{.ipv4 = ipv4, .tcp = tcp, .flags = 0x98, .payload_bytes = 777};
      const Packet whole = make_packet(spec);
      const std::vector<Packet> segments = cut(header_for(spec, 100), whole);
      Packet room = whole;
      room.resize(whole.size() + Segmenter::kMostPadding, 0xee);
      const Packet before = room;
      const auto segmenter = Segmenter::create(header_for(spec, 100), MutableBytes(room).first(whole.size()));
      ASSERT_TRUE(segmenter && segmenter->can_place());
      for (const size_t parity : {size_t{0}, size_t{1}}) {
        std::vector<Segmenter::Displaced> displaced(segments.size());
        std::vector<MutableBytes> placed(segments.size());
        for (size_t index = parity; index < segments.size(); index += 2) {
          placed[index] =
              segmenter->place_segment(index, Segmenter::kMostPadding - index, room, displaced[index]);
        }
        for (size_t index = parity; index < segments.size(); index += 2) {
          Packet expected = segments[index];
          expected.resize(expected.size() + Segmenter::kMostPadding - index, 0);
          EXPECT_EQ(Packet(placed[index].begin(), placed[index].end()), expected) << ipv4 << tcp << index;
        }
        for (size_t index = parity; index < segments.size(); index += 2) {
          segmenter->restore_segment(index, Segmenter::kMostPadding - index, room, displaced[index]);
        }
        EXPECT_EQ(room, before) << "nothing of the packet may be lost to the segments that come next";
      }
    }
  }
}

TEST(Segmenter, SegmentsTooShortForTheHeadersOfTheNextAreNotPlaced) {
  const PacketSpec spec{.tcp_option_bytes = 12, .payload_bytes = 300};  // 52 bytes of headers
  const Packet packet = make_packet(spec);
  EXPECT_FALSE(Segmenter::create(header_for(spec, 66), packet)->can_place());
  EXPECT_TRUE(Segmenter::create(header_for(spec, 67), packet)->can_place());
}

TEST(Segmenter, CwrStaysOnTheFirstSegmentAlone) {
  const PacketSpec whole{.flags = 0x90, .payload_bytes = 300};
  const std::vector<Packet> segments = cut(header_for(whole, 100), make_packet(whole));
  EXPECT_EQ(segments[0][33], 0x90);
  EXPECT_EQ(segments[1][33], 0x10);
  EXPECT_EQ(segments[2][33], 0x10);
}

TEST(Segmenter, SequenceNumbersWrap) {
  const PacketSpec whole{.sequence = 0xffffffff, .payload_bytes = 200};
  EXPECT_EQ(load_be<uint32_t>(&cut(header_for(whole, 100), make_packet(whole))[1][24]), 99u);
}

TEST(Segmenter, AComputedUdpChecksumOfZeroBecomesAllOnes) {
  // Two payload bytes choose the checksum: search for the value that makes it come out as zero.
  PacketSpec spec{.tcp = false, .payload_bytes = 2};
  Packet packet = make_packet(spec);
  const uint16_t checksum = load_be<uint16_t>(&packet[26]);
  const uint16_t payload = load_be<uint16_t>(&packet[28]);
  const uint32_t wanted = uint32_t{payload} + checksum;
  store_be<uint16_t>(&packet[28], static_cast<uint16_t>((wanted & 0xffff) + (wanted >> 16)));
  const std::vector<Packet> segments = cut(header_for(spec, 2), packet);
  EXPECT_EQ(load_be<uint16_t>(&segments[0][26]), 0xffff);
}

TEST(Segmenter, RefusesAVnetHeaderThatDoesNotFitThePacket) {
  const Packet tcp4 = make_packet({});
  const Packet udp4 = make_packet({.tcp = false});
  VnetHeader header;
  header.segment_bytes = 100;
  for (const GsoKind kind : {GsoKind::kNone, GsoKind::kTcpIpv6, GsoKind::kUdp}) {
    header.gso = kind;
    EXPECT_FALSE(Segmenter::create(header, tcp4).has_value());
  }
  header.gso = GsoKind::kTcpIpv4;
  EXPECT_FALSE(Segmenter::create(header, udp4).has_value());
  for (size_t length = 0; length < 52; ++length) {
    EXPECT_FALSE(Segmenter::create(header, BytesView(tcp4).first(length)).has_value()) << length;
  }
  header.segment_bytes = 0;
  EXPECT_FALSE(Segmenter::create(header, tcp4).has_value());
}

TEST(CompleteChecksum, SumsWhatTheKernelLeftOpen) {
  for (const bool tcp : {true, false}) {
    const Packet whole = make_packet({.tcp = tcp});
    Packet open = whole;
    VnetHeader header;
    header.needs_checksum = true;
    header.checksum_start = 20;
    header.checksum_offset = tcp ? 16 : 6;
    const auto pseudo = pseudo_header_sum(BytesView(open).subspan(12, 8), open[9], open.size() - 20);
    store_be<uint16_t>(&open[20u + header.checksum_offset], fold_sum(pseudo));
    ASSERT_NE(open, whole);
    EXPECT_TRUE(complete_checksum(header, open));
    EXPECT_EQ(open, whole);
  }
}

TEST(CompleteChecksum, RefusesOffsetsOutsideOfThePacket) {
  Packet packet = make_packet({});
  VnetHeader header;
  header.needs_checksum = true;
  header.checksum_start = static_cast<uint16_t>(packet.size());
  EXPECT_FALSE(complete_checksum(header, packet));
  header.checksum_start = static_cast<uint16_t>(packet.size() - 1);
  EXPECT_FALSE(complete_checksum(header, packet));
}

TEST(VnetHeader, SurvivesEncodeAndDecode) {
  VnetHeader header{true, GsoKind::kTcpIpv6, 72, 1368, 40, 16};
  std::array<uint8_t, VnetHeader::kBytes> bytes{};
  for (const GsoKind kind : {GsoKind::kNone, GsoKind::kTcpIpv4, GsoKind::kTcpIpv6, GsoKind::kUdp}) {
    header.gso = kind;
    header.encode(bytes);
    EXPECT_EQ(VnetHeader::decode(bytes), header);
  }
  bytes[1] = 3;  // VIRTIO_NET_HDR_GSO_UDP, the fragmenting kind, is never agreed on
  EXPECT_EQ(VnetHeader::decode(bytes), std::nullopt);
}

}  // namespace
}  // namespace vpn::offload
