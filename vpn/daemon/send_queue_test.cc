#include "vpn/daemon/send_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <vector>

namespace vpn::daemon {
namespace {

using testing::ElementsAre;

class SendQueueTest : public testing::Test {
 protected:
  // A datagram of `bytes` times `fill`.
  void append(uint8_t fill, size_t bytes, uint8_t tos = 0) {
    ASSERT_TRUE(queue_.has_room(1, bytes));
    std::ranges::fill(queue_.reserve(bytes).first(bytes), fill);
    queue_.append(to_, tos, bytes);
  }

  // The lengths of the datagrams that arrived, in order; each must hold one byte value throughout.
  std::vector<size_t> arrived(size_t count) {
    std::vector<size_t> lengths;
    io::UdpSocket& socket = *receiver_.of(IpFamily::kIpv4);
    while (lengths.size() < count) {
      pollfd waiting{socket.fd(), POLLIN, 0};
      if (poll(&waiting, 1, 5000) != 1) break;
      for (const io::ReceivedRun& run : socket.receive_batch()) {
        for (size_t at = 0; at < run.bytes.size(); at += run.segment_bytes) {
          const BytesView one = run.bytes.subspan(at, std::min(run.segment_bytes, run.bytes.size() - at));
          EXPECT_TRUE(std::ranges::all_of(one, [&](uint8_t byte) { return byte == one[0]; }));
          lengths.push_back(one.size());
          classes_.push_back(run.tos);
        }
      }
    }
    return lengths;
  }

  std::vector<uint8_t> classes_;  // the traffic class of each datagram that arrived
  UdpPair sender_ = *UdpPair::open({});
  UdpPair receiver_ = *UdpPair::open({});
  SendQueue queue_{sender_};
  core::Endpoint to_{{IpAddress::ipv4(127, 0, 0, 1), receiver_.port(), 0}, std::nullopt, 0};
};

TEST_F(SendQueueTest, KeepsOrderAndLengthsOverRunsOfEveryKind) {
  append(1, 100);
  append(2, 100);
  append(3, 60);        // shorter: the last of the first run
  append(4, 60);        // so this begins another
  append(5, 100);       // longer: another
  append(6, 100, 0x2);  // another traffic class: another
  append(7, 100, 0x2);
  queue_.flush();
  EXPECT_THAT(arrived(7), ElementsAre(100, 100, 60, 60, 100, 100, 100));
  EXPECT_THAT(classes_, ElementsAre(0, 0, 0, 0, 0, 2, 2));
  EXPECT_EQ(sender_.counts().sent, 7u);
}

TEST_F(SendQueueTest, ARunEndsAtTheMostSegmentsAndTheMostBytes) {
  for (size_t index = 0; index < 200; ++index) append(static_cast<uint8_t>(index), 200);
  for (size_t index = 0; index < 60; ++index) append(static_cast<uint8_t>(index), 1452);
  queue_.flush();
  const auto lengths = arrived(260);
  ASSERT_EQ(lengths.size(), 260u);
  EXPECT_EQ(std::ranges::count(lengths, size_t{200}), 200);
}

TEST_F(SendQueueTest, SaysWhenItIsFullAndIsEmptyAfterFlush) {
  EXPECT_FALSE(queue_.has_room(1, SendQueue::kArenaBytes + 1));
  EXPECT_FALSE(queue_.has_room(SendQueue::kMaxRuns + 1, 1));
  append(1, SendQueue::kArenaBytes / 2 + 1);
  EXPECT_FALSE(queue_.has_room(1, SendQueue::kArenaBytes / 2));
  queue_.flush();
  EXPECT_TRUE(queue_.has_room(SendQueue::kMaxRuns, SendQueue::kArenaBytes));
  EXPECT_EQ(sender_.counts().too_large, 1u) << "no datagram is that long";
}

TEST(UdpPair, BothFamiliesShareOnePort) {
  UdpPair pair = *UdpPair::open({});
  EXPECT_NE(pair.port(), 0);
  if (io::UdpSocket* ipv6 = pair.of(IpFamily::kIpv6)) {
    EXPECT_EQ(ipv6->port(), pair.port());
  }
}

TEST(UdpPair, APortThatAnotherGroupSharesIsTaken) {
  const auto group = UdpPair::open_group({}, 3);
  ASSERT_TRUE(group.has_value()) << group.error().to_string();
  ASSERT_EQ(group->size(), 3u);
  for (const UdpPair& pair : *group) EXPECT_EQ(pair.port(), group->front().port());
  UdpPair::Options options;
  options.port = group->front().port();
  for (const size_t count : {1u, 3u}) EXPECT_FALSE(UdpPair::open_group(options, count).has_value());
}

TEST(UdpPair, APortTakenForOneFamilyIsAnError) {
  const auto taken = io::UdpSocket::open({.family = IpFamily::kIpv4});
  ASSERT_TRUE(taken.has_value());
  UdpPair::Options options;
  options.port = taken->port();
  EXPECT_FALSE(UdpPair::open(options).has_value());
}

}  // namespace
}  // namespace vpn::daemon
