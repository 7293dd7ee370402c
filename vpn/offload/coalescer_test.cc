#include "vpn/offload/coalescer.h"

#include <gtest/gtest.h>

#include <random>

#include "vpn/base/endian.h"
#include "vpn/offload/checksum.h"
#include "vpn/offload/segmenter.h"
#include "vpn/offload/test_packets.h"

namespace vpn::offload {
namespace {

using testing::make_packet;
using testing::Packet;
using testing::PacketSpec;

struct Output {
  VnetHeader header;
  Packet bytes;
};

std::vector<Output> coalesce(std::vector<Packet>& packets, Coalescer::Options options = {true, true}) {
  Coalescer coalescer(options);
  for (Packet& packet : packets) coalescer.add(packet);
  std::vector<Output> outputs;
  coalescer.flush([&](const VnetHeader& header, std::span<const MutableBytes> slices) {
    Output& output = outputs.emplace_back();
    output.header = header;
    for (const MutableBytes slice : slices)
      output.bytes.insert(output.bytes.end(), slice.begin(), slice.end());
  });
  return outputs;
}

std::vector<Packet> cut(const std::vector<Output>& outputs) {
  std::vector<Packet> packets;
  for (const Output& output : outputs) {
    if (output.header.gso == GsoKind::kNone) {
      packets.push_back(output.bytes);
      continue;
    }
    const auto segmenter = Segmenter::create(output.header, output.bytes);
    EXPECT_TRUE(segmenter.has_value());
    for (size_t index = 0; index < segmenter->segment_count(); ++index) {
      segmenter->write_segment(index, packets.emplace_back(segmenter->segment_bytes(index)));
    }
  }
  return packets;
}

// Consecutive packets of one flow.
std::vector<Packet> run_of(PacketSpec spec, size_t count) {
  std::vector<Packet> packets;
  for (size_t index = 0; index < count; ++index) {
    packets.push_back(make_packet(spec));
    spec.sequence += static_cast<uint32_t>(spec.payload_bytes);
    spec.payload_start = static_cast<uint8_t>(spec.payload_start + spec.payload_bytes);
    spec.id++;
  }
  return packets;
}

size_t outputs_of(PacketSpec first, PacketSpec second) {
  std::vector<Packet> packets = {make_packet(first), make_packet(second)};
  return coalesce(packets).size();
}

TEST(Coalescer, JoinsARunIntoOneSuperPacketThatCutsIntoTheSameRun) {
  for (const bool ipv4 : {true, false}) {
    for (const bool tcp : {true, false}) {
      for (const bool dont_fragment : {true, false}) {
        std::vector<Packet> packets = run_of({.ipv4 = ipv4, .tcp = tcp, .dont_fragment = dont_fragment}, 20);
        const std::vector<Packet> originals = packets;
        const std::vector<Output> outputs = coalesce(packets);
        ASSERT_EQ(outputs.size(), 1u) << ipv4 << tcp;
        EXPECT_EQ(outputs[0].header.segment_bytes, 100);
        EXPECT_EQ(cut(outputs), originals);
      }
    }
  }
}

TEST(Coalescer, AShorterPacketOrAPushEndsTheRun) {
  std::vector<Packet> packets = run_of({}, 2);
  packets.push_back(make_packet({.sequence = 201, .payload_bytes = 50}));
  packets.push_back(make_packet({.sequence = 251, .payload_bytes = 50}));
  EXPECT_EQ(coalesce(packets).size(), 2u);

  packets = run_of({}, 2);
  packets.push_back(make_packet({.sequence = 201, .flags = 0x18}));
  packets.push_back(make_packet({.sequence = 301}));
  const std::vector<Output> outputs = coalesce(packets);
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs[0].bytes[33], 0x18) << "the push is kept";
}

TEST(Coalescer, NeverJoinsWhatTheKernelWouldNot) {
  const PacketSpec first{.id = 5};
  PacketSpec next{.sequence = 101, .id = 6};
  EXPECT_EQ(outputs_of(first, next), 1u);
  const auto differs = [&](auto change) {
    PacketSpec other = next;
    change(other);
    return outputs_of(first, other) == 2;
  };
  EXPECT_TRUE(differs([](PacketSpec& s) { s.sequence = 102; })) << "a gap";
  EXPECT_TRUE(differs([](PacketSpec& s) { s.sequence = 1; })) << "a retransmission";
  EXPECT_TRUE(differs([](PacketSpec& s) { s.source_port = 1001; }));
  EXPECT_TRUE(differs([](PacketSpec& s) { s.host = 3; }));
  EXPECT_TRUE(differs([](PacketSpec& s) { s.acknowledgement = 8; }));
  EXPECT_TRUE(differs([](PacketSpec& s) { s.window = 501; }));
  EXPECT_TRUE(differs([](PacketSpec& s) { s.traffic_class = 1; })) << "ECN and DSCP";
  EXPECT_TRUE(differs([](PacketSpec& s) { s.ttl = 63; }));
  EXPECT_TRUE(differs([](PacketSpec& s) { s.dont_fragment = false; }));
  EXPECT_TRUE(differs([](PacketSpec& s) { s.tcp_option_bytes = 8; }));
  EXPECT_TRUE(differs([](PacketSpec& s) { s.payload_bytes = 101; })) << "larger than the first";
  EXPECT_TRUE(differs([](PacketSpec& s) { s.payload_bytes = 0; })) << "a bare acknowledgement";
  for (const int flags : {0x11, 0x12, 0x14, 0x30, 0x50, 0x90, 0x00}) {
    EXPECT_TRUE(differs([&](PacketSpec& s) { s.flags = static_cast<uint8_t>(flags); })) << flags;
  }
  EXPECT_EQ(outputs_of({.id = 5, .dont_fragment = false}, {.sequence = 101, .id = 7, .dont_fragment = false}),
            2u);
  EXPECT_EQ(outputs_of({.ipv4 = false}, {.ipv4 = false, .sequence = 101, .traffic_class = 3}), 2u);
}

TEST(Coalescer, APacketWithAWrongChecksumPassesUnchangedAndAlone) {
  for (const bool tcp : {true, false}) {
    std::vector<Packet> packets = run_of({.tcp = tcp}, 3);
    packets[1].back() ^= 1;
    const std::vector<Packet> originals = packets;
    const std::vector<Output> outputs = coalesce(packets);
    EXPECT_EQ(outputs.size(), 3u);
    EXPECT_EQ(cut(outputs), originals);
  }
}

TEST(Coalescer, APacketWithAWrongIpHeaderChecksumPassesUnchangedAndAlone) {
  std::vector<Packet> packets = run_of({}, 3);
  packets[1][10] ^= 1;
  const std::vector<Packet> originals = packets;
  const std::vector<Output> outputs = coalesce(packets);
  EXPECT_EQ(outputs.size(), 3u);
  EXPECT_EQ(cut(outputs), originals);
}

TEST(Coalescer, PacketsThatDifferInReservedTcpBitsAreNotJoined) {
  std::vector<Packet> packets = run_of({}, 2);
  packets[1][32] ^= 1;
  const auto sum = static_cast<uint16_t>(~load_be<uint16_t>(&packets[1][36]));
  store_be<uint16_t>(&packets[1][36], checksum_of(add_to_sum(PartialSum{sum}, uint16_t{0x0100})));
  ASSERT_TRUE(testing::checksums_are_right(packets[1]));
  EXPECT_EQ(coalesce(packets).size(), 2u);
}

TEST(Coalescer, UdpWithoutAChecksumIsLeftAlone) {
  std::vector<Packet> packets = run_of({.tcp = false}, 2);
  for (Packet& packet : packets) store_be<uint16_t>(&packet[26], 0);
  EXPECT_EQ(coalesce(packets).size(), 2u);
}

TEST(Coalescer, FragmentsAndIpOptionsAreLeftAlone) {
  std::vector<Packet> packets = run_of({}, 2);
  for (Packet& packet : packets) packet[6] = 0x20;  // more fragments
  EXPECT_EQ(coalesce(packets).size(), 2u);
}

TEST(Coalescer, JoinsOnlyOntoTheNewestPacketOfTheFlow) {
  std::vector<Packet> packets = {make_packet({.sequence = 1}), make_packet({.sequence = 201}),
                                 make_packet({.sequence = 101})};
  const std::vector<Packet> originals = packets;
  EXPECT_EQ(cut(coalesce(packets)), originals) << "reordered packets stay in their order";
}

TEST(Coalescer, KeepsEachFlowsOrderAmongManyFlows) {
  std::mt19937 random(3);
  std::vector<std::vector<Packet>> flows;
  for (uint16_t flow = 0; flow < 40; ++flow) {
    flows.push_back(run_of({.tcp = flow % 3 != 0, .source_port = flow, .sequence = flow}, 10));
  }
  std::vector<Packet> packets;
  std::vector<size_t> next(flows.size());
  while (packets.size() < 400) {
    const size_t flow = random() % flows.size();
    if (next[flow] < flows[flow].size()) packets.push_back(flows[flow][next[flow]++]);
  }
  std::vector<std::vector<Packet>> seen(flows.size());
  for (const Packet& packet : cut(coalesce(packets))) seen[load_be<uint16_t>(&packet[20])].push_back(packet);
  EXPECT_EQ(seen, flows);
}

TEST(Coalescer, StopsAtTheLongestPacketAndTheMostSegments) {
  std::vector<Packet> packets = run_of({.payload_bytes = 1400}, 60);
  std::vector<Packet> originals = packets;
  std::vector<Output> outputs = coalesce(packets);
  EXPECT_EQ(outputs.size(), 2u);
  EXPECT_LE(outputs[0].bytes.size(), 65535u);
  EXPECT_EQ(cut(outputs), originals);
  packets = run_of({.tcp = false, .payload_bytes = 10}, 100);
  EXPECT_EQ(coalesce(packets).size(), 2u);
}

TEST(Coalescer, DoesNothingForKindsTheDeviceDoesNotTake) {
  std::vector<Packet> packets = run_of({}, 3);
  EXPECT_EQ(coalesce(packets, {.tcp = false, .udp = true}).size(), 3u);
  packets = run_of({.tcp = false}, 3);
  EXPECT_EQ(coalesce(packets, {.tcp = true, .udp = false}).size(), 3u);
}

TEST(Coalescer, AnyBytesPassUnchanged) {
  std::mt19937 random(4);
  std::vector<Packet> packets;
  for (size_t index = 0; index < Coalescer::kMaxPackets; ++index) {
    Packet& packet = packets.emplace_back(make_packet({.ipv4 = random() % 2 == 0, .tcp = random() % 2 == 0}));
    for (size_t flips = random() % 4; flips > 0; --flips)
      packet[random() % packet.size()] = static_cast<uint8_t>(random());
    packet.resize(random() % 3 == 0 ? random() % packet.size() : packet.size());
  }
  size_t bytes_in = 0;
  for (const Packet& packet : packets) bytes_in += packet.size();
  size_t bytes_out = 0;
  for (const Packet& packet : cut(coalesce(packets))) bytes_out += packet.size();
  EXPECT_EQ(bytes_out, bytes_in);
}

}  // namespace
}  // namespace vpn::offload
