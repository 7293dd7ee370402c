#include "vpn/daemon/send_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
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

// As append(), to the port that `receiver` has.
void append_to(SendQueue& queue, const UdpPair& receiver, uint8_t fill, size_t bytes, uint8_t tos = 0) {
  const core::Endpoint to{{IpAddress::ipv4(127, 0, 0, 1), receiver.port(), 0}, std::nullopt, 0};
  ASSERT_TRUE(queue.has_room(1, bytes));
  std::ranges::fill(queue.reserve(bytes).first(bytes), fill);
  queue.append(to, tos, bytes);
}

// Counts the messages that sendmmsg(2) is given.
class CountingCalls final : public io::SystemCalls {
 public:
  int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept override {
    messages_ += count;
    return SystemCalls::sendmmsg(fd, messages, count, flags);
  }
  [[nodiscard]] unsigned messages() const { return messages_; }

 private:
  unsigned messages_ = 0;
};

// What arrived at the socket, as (first byte, length), and its traffic classes, until `count` datagrams have.
std::vector<std::pair<int, size_t>> arrived_at(UdpPair& receiver, size_t count) {
  std::vector<std::pair<int, size_t>> datagrams;
  io::UdpSocket& socket = *receiver.of(IpFamily::kIpv4);
  pollfd waiting{socket.fd(), POLLIN, 0};
  while (datagrams.size() < count && poll(&waiting, 1, 5000) == 1) {
    for (const io::ReceivedRun& run : socket.receive_batch()) {
      for (size_t at = 0; at < run.bytes.size(); at += run.segment_bytes) {
        datagrams.emplace_back(run.bytes[at], std::min(run.segment_bytes, run.bytes.size() - at));
      }
    }
  }
  return datagrams;
}

TEST(SendQueueEndpoints, InTurnBecomeARunEachAndKeepTheirOrder) {
  CountingCalls calls;
  UdpPair::Options options;
  options.calls = &calls;
  UdpPair sender = *UdpPair::open(options);
  std::vector<UdpPair> receivers;
  for (int index = 0; index < 5; ++index) receivers.push_back(*UdpPair::open({}));
  SendQueue queue(sender);
  for (int round = 0; round < 3; ++round) {  // what is remembered of one batch must not lead the next astray
    const unsigned before = calls.messages();
    for (uint8_t turn = 0; turn < 12; ++turn) {
      for (const UdpPair& receiver : receivers) append_to(queue, receiver, turn, 200);
    }
    append_to(queue, receivers[0], 100, 300);  // longer, so a run of its own, and so is what follows it
    append_to(queue, receivers[1], 100, 100);  // shorter: the last of its run
    append_to(queue, receivers[0], 101, 200);
    append_to(queue, receivers[1], 101, 200);
    queue.flush();
    EXPECT_EQ(calls.messages() - before, 5u + 1 + 0 + 0 + 1) << "receiver 0 in two, receiver 1 in two";
    for (size_t index = 0; index < receivers.size(); ++index) {
      std::vector<std::pair<int, size_t>> expected;
      for (int turn = 0; turn < 12; ++turn) expected.emplace_back(turn, 200);
      if (index == 0) expected.insert(expected.end(), {{100, 300}, {101, 200}});
      if (index == 1) expected.insert(expected.end(), {{100, 100}, {101, 200}});
      EXPECT_EQ(arrived_at(receivers[index], expected.size()), expected) << "receiver " << index;
    }
  }
}

// Of two bytes of the address, 31 of the last weigh as much as one of the last but one.
TEST(SendQueueEndpoints, WhoseHashesMeetBecomeARunEachAllTheSame) {
  CountingCalls calls;
  UdpPair::Options options;
  options.calls = &calls;
  UdpPair sender = *UdpPair::open(options);
  UdpPair receiver = *UdpPair::open({});
  SendQueue queue(sender);
  for (int round = 0; round < 3; ++round) {
    const unsigned before = calls.messages();
    for (uint8_t turn = 0; turn < 12; ++turn) {
      for (uint8_t peer = 0; peer < 4; ++peer) {
        const auto address = IpAddress::ipv4(127, 0, peer, static_cast<uint8_t>(100 - 31 * peer));
        std::ranges::fill(queue.reserve(200).first(200), static_cast<uint8_t>(peer * 12 + turn));
        queue.append({{address, receiver.port(), 0}, std::nullopt, 0}, 0, 200);
      }
    }
    queue.flush();
    EXPECT_EQ(calls.messages() - before, 4u);
    std::vector<std::pair<int, size_t>> expected;
    for (int number = 0; number < 48; ++number) expected.emplace_back(number, 200);
    EXPECT_EQ(arrived_at(receiver, expected.size()), expected) << "peer after peer";
  }
}

// Refuses whatever goes to one port, as a way out whose queue is full does.
class FullCalls final : public io::SystemCalls {
 public:
  int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept override {
    unsigned fitting = 0;
    while (fitting < count && !is_refused(messages[fitting].msg_hdr)) ++fitting;
    if (fitting > 0) return SystemCalls::sendmmsg(fd, messages, fitting, flags);
    ++refusals;
    errno = error_number;
    return -1;
  }
  ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept override {
    if (!is_refused(*message)) return SystemCalls::sendmsg(fd, message, flags);
    ++refusals;
    errno = error_number;
    return -1;
  }
  int error_number = 0;  // 0: there is room
  uint16_t full_port = 0;
  unsigned refusals = 0;

 private:
  [[nodiscard]] bool is_refused(const msghdr& message) const {
    sockaddr_in to{};
    std::memcpy(&to, message.msg_name, sizeof to);
    return error_number != 0 && ntohs(to.sin_port) == full_port;
  }
};

// ENOBUFS, ENOMEM, EAGAIN: what is sent into a full queue once more would only make the next wait.
TEST(SendQueueRefusals, ForWantOfRoomAreCountedOnceAndHoldNothingElseUp) {
  FullCalls calls;
  UdpPair::Options options;
  options.calls = &calls;
  UdpPair sender = *UdpPair::open(options);
  UdpPair before = *UdpPair::open({}), full = *UdpPair::open({}), behind = *UdpPair::open({});
  calls.full_port = full.port();
  SendQueue queue(sender);
  const auto send_all = [&](uint8_t fill) {
    for (int turn = 0; turn < 12; ++turn) {
      for (const UdpPair* receiver : {&before, &full, &behind}) append_to(queue, *receiver, fill, 200);
    }
    queue.flush();
  };
  uint64_t refused = 0;
  for (const int error_number : {ENOBUFS, ENOMEM, EAGAIN}) {
    calls.error_number = error_number;
    calls.refusals = 0;
    send_all(1);
    EXPECT_EQ(calls.refusals, 1u) << "the run is not tried again, nor its datagrams one by one";
    EXPECT_EQ(sender.counts().no_buffer, refused += 12);
    EXPECT_EQ(sender.counts().sent, 2 * refused);
    for (UdpPair* receiver : {&before, &behind}) EXPECT_EQ(arrived_at(*receiver, 12).size(), 12u);
  }
  calls.error_number = 0;
  send_all(2);
  const std::vector<std::pair<int, size_t>> expected(12, {2, 200});
  EXPECT_EQ(arrived_at(full, 12), expected) << "nothing of what was refused comes later";
  EXPECT_EQ(sender.counts().no_buffer, refused);
}

// More endpoints than the queue remembers, some of whose hashes meet: never out of order, whatever is a run.
TEST(SendQueueEndpoints, ByTheHundredKeepTheirOrder) {
  UdpPair sender = *UdpPair::open({});
  std::vector<UdpPair> receivers;
  for (int index = 0; index < 100; ++index) receivers.push_back(*UdpPair::open({}));
  SendQueue queue(sender);
  for (uint8_t turn = 0; turn < 30; ++turn) {
    for (size_t index = 0; index < receivers.size(); ++index) {
      const size_t bytes = 50 + (index * 7 + turn * size_t{13}) % 3 * 10;
      if (!queue.has_room(1, bytes)) queue.flush();
      append_to(queue, receivers[index], turn, bytes);
    }
  }
  queue.flush();
  for (UdpPair& receiver : receivers) {
    const auto datagrams = arrived_at(receiver, 30);
    ASSERT_EQ(datagrams.size(), 30u);
    EXPECT_TRUE(std::ranges::is_sorted(datagrams, {}, &std::pair<int, size_t>::first));
  }
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
