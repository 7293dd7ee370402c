#include "vpn/io/udp_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

namespace vpn::io {
namespace {

struct Datagram {
  std::vector<uint8_t> bytes;
  UdpPath path;
  uint8_t tos = 0;
};

// Everything that arrives until `count` datagrams did, or nothing more comes.
std::vector<Datagram> receive(UdpSocket& socket, size_t count) {
  std::vector<Datagram> datagrams;
  while (datagrams.size() < count) {
    pollfd waiting{socket.fd(), POLLIN, 0};
    if (poll(&waiting, 1, 5000) != 1) break;
    for (const ReceivedRun& run : socket.receive_batch()) {
      for (size_t at = 0; at < run.bytes.size(); at += run.segment_bytes) {
        const BytesView one = run.bytes.subspan(at, std::min(run.segment_bytes, run.bytes.size() - at));
        datagrams.push_back({{one.begin(), one.end()}, run.path, run.tos});
      }
    }
  }
  return datagrams;
}

IpAddress loopback(IpFamily family) {
  return *IpAddress::parse(family == IpFamily::kIpv4 ? "127.0.0.1" : "::1");
}

// Two sockets on the loopback interface; skips the test where the host lacks the family.
class UdpSocketTest : public testing::TestWithParam<IpFamily> {
 protected:
  void SetUp() override {
    auto sender = UdpSocket::open({.family = GetParam()});
    if (!sender && sender.error().remedy.empty()) GTEST_SKIP() << "by design: no such address family here";
    auto receiver = UdpSocket::open({.family = GetParam()});
    ASSERT_TRUE(sender && receiver);
    sender_.emplace(std::move(*sender));
    receiver_.emplace(std::move(*receiver));
    to_.remote = {loopback(GetParam()), receiver_->port(), 0};
  }
  void TearDown() override { ASSERT_FALSE(HasFailure()); }

  std::optional<UdpSocket> sender_, receiver_;
  UdpPath to_;
};

std::vector<uint8_t> counting_bytes(size_t count) {
  std::vector<uint8_t> bytes(count);
  for (size_t index = 0; index < count; ++index) bytes[index] = static_cast<uint8_t>(index * 31 / 7);
  return bytes;
}

TEST_P(UdpSocketTest, CarriesARunWithAShorterLastDatagram) {
  const auto bytes = counting_bytes(10 * 1000 + 500);
  const SendRun run{to_, 0, bytes, 1000};
  sender_->send_batch({&run, 1});
  const auto datagrams = receive(*receiver_, 11);
  ASSERT_EQ(datagrams.size(), 11u);
  std::vector<uint8_t> joined;
  for (const Datagram& one : datagrams) joined.insert(joined.end(), one.bytes.begin(), one.bytes.end());
  EXPECT_EQ(joined, bytes);
  EXPECT_EQ(datagrams[10].bytes.size(), 500u);
  EXPECT_EQ(sender_->counts().sent, 11u);
}

TEST_P(UdpSocketTest, CarriesMoreRunsThanOneSystemCallTakes) {
  const auto bytes = counting_bytes(200);
  std::vector<SendRun> runs;
  for (size_t length = 1; length <= 150; ++length)
    runs.push_back({to_, 0, BytesView(bytes).first(length), length});
  sender_->send_batch(runs);
  const auto datagrams = receive(*receiver_, 150);
  ASSERT_EQ(datagrams.size(), 150u);
  for (size_t index = 0; index < 150; ++index)
    EXPECT_EQ(datagrams[index].bytes.size(), index + 1) << "in order";
}

TEST_P(UdpSocketTest, TellsTheTrafficClassAndBothAddresses) {
  const auto bytes = counting_bytes(10);
  const SendRun runs[] = {{to_, 0x88, bytes, 10}, {to_, 2, bytes, 10}, {to_, 0, bytes, 10}};
  sender_->send_batch(runs);
  const auto datagrams = receive(*receiver_, 3);
  ASSERT_EQ(datagrams.size(), 3u);
  EXPECT_EQ(datagrams[0].tos, 0x88);
  EXPECT_EQ(datagrams[1].tos, 2);
  EXPECT_EQ(datagrams[2].tos, 0);
  EXPECT_EQ(datagrams[0].path.remote, (UdpAddress{loopback(GetParam()), sender_->port(), 0}));
  EXPECT_EQ(datagrams[0].path.local, loopback(GetParam()));
}

TEST_P(UdpSocketTest, AnEmptyDatagramIsOne) {
  const SendRun run{to_, 0, {}, 0};
  sender_->send_batch({&run, 1});
  pollfd waiting{receiver_->fd(), POLLIN, 0};
  ASSERT_EQ(poll(&waiting, 1, 5000), 1);
  const auto runs = receiver_->receive_batch();
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_TRUE(runs[0].bytes.empty());
}

TEST_P(UdpSocketTest, ReceivesTheLongestDatagram) {
  auto plain = UdpSocket::open({.family = GetParam(), .offload = false});
  ASSERT_TRUE(plain.has_value());
  const auto bytes = counting_bytes(65507 - 20);
  const SendRun run{to_, 0, bytes, bytes.size()};
  plain->send_batch({&run, 1});
  const auto datagrams = receive(*receiver_, 1);
  ASSERT_EQ(datagrams.size(), 1u);
  EXPECT_EQ(datagrams[0].bytes, bytes);
}

TEST_P(UdpSocketTest, WithoutOffloadCarriesTheSame) {
  auto plain = UdpSocket::open({.family = GetParam(), .offload = false});
  ASSERT_TRUE(plain.has_value());
  EXPECT_FALSE(plain->segments() || plain->coalesces());
  const auto bytes = counting_bytes(3500);
  const SendRun run{to_, 0, bytes, 1000};
  plain->send_batch({&run, 1});
  EXPECT_EQ(receive(*receiver_, 4).size(), 4u);
}

TEST_P(UdpSocketTest, ASourceAddressThatIsGoneDoesNotKeepItFromSending) {
  const auto bytes = counting_bytes(10);
  SendRun run{to_, 0, bytes, 10};
  run.path.local = *IpAddress::parse(GetParam() == IpFamily::kIpv4 ? "203.0.113.77" : "2001:db8::77");
  sender_->send_batch({&run, 1});
  ASSERT_EQ(receive(*receiver_, 1).size(), 1u);
  EXPECT_EQ(sender_->counts().sent, 1u);
}

TEST_P(UdpSocketTest, CountsWhatCannotBeSent) {
  const std::vector<uint8_t> bytes(70'000);
  const SendRun run{to_, 0, bytes, bytes.size()};
  sender_->send_batch({&run, 1});
  EXPECT_EQ(sender_->counts().too_large, 1u);
  EXPECT_EQ(sender_->counts().sent, 0u);
}

// What a slow link keeps standing delays everything behind it: a flush of ours (512 KiB), twice in the
// kernel's bookkeeping, and not the megabytes that the receiving side has against bursts.
TEST_P(UdpSocketTest, BoundsWhatStandsUnsent) {
  const auto buffer_bytes = [&](int name) {
    int value = 0;
    socklen_t length = sizeof value;
    EXPECT_EQ(getsockopt(sender_->fd(), SOL_SOCKET, name, &value, &length), 0);
    return value;
  };
  EXPECT_GT(buffer_bytes(SO_SNDBUF), 0);
  EXPECT_LE(buffer_bytes(SO_SNDBUF), 1 << 20);
}

TEST_P(UdpSocketTest, ATakenPortIsAnErrorWithItsNumber) {
  const auto second = UdpSocket::open({.family = GetParam(), .port = receiver_->port()});
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error().to_string(), testing::HasSubstr(std::to_string(receiver_->port())));
  EXPECT_THAT(second.error().to_string(), testing::HasSubstr("taken by another program; remedy: "));
}

// Each remote address and port is heard by one socket of those that share a port, always the same.
TEST_P(UdpSocketTest, SocketsThatShareAPortDivideTheRemoteAddresses) {
  ASSERT_TRUE(receiver_->share_port().has_value());
  auto second = UdpSocket::open({.family = GetParam(), .port = receiver_->port(), .reuse_port = true});
  ASSERT_TRUE(second.has_value()) << second.error().to_string();
  const auto bytes = counting_bytes(10);
  const SendRun run{to_, 0, bytes, 10};
  size_t of_first = 0;
  for (int remote = 0; remote < 64; ++remote) {
    auto sender = UdpSocket::open({.family = GetParam()});
    ASSERT_TRUE(sender.has_value());
    size_t counts[2] = {0, 0};
    for (int datagram = 0; datagram < 4; ++datagram) {
      sender->send_batch({&run, 1});
      pollfd waiting[] = {{receiver_->fd(), POLLIN, 0}, {second->fd(), POLLIN, 0}};
      ASSERT_EQ(poll(waiting, 2, 5000), 1);
      const size_t which = waiting[0].revents != 0 ? 0 : 1;
      counts[which] += (which == 0 ? *receiver_ : *second).receive_batch().size();
    }
    EXPECT_TRUE(counts[0] == 0 || counts[1] == 0);
    EXPECT_EQ(counts[0] + counts[1], 4u);
    of_first += counts[0] / 4;
  }
  EXPECT_GT(of_first, 0u);
  EXPECT_LT(of_first, 64u);
}

// Sends on, except that a message of several datagrams, or of one, or both, is refused.
class RefusingCalls final : public SystemCalls {
 public:
  int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept override {
    ++batches;
    for (unsigned index = 0; index < count; ++index) {
      const int refusal = refusal_of(messages[index].msg_hdr);
      if (refusal == 0) continue;
      if (index > 0) return SystemCalls::sendmmsg(fd, messages, index, flags);
      errno = refusal;
      return -1;
    }
    return SystemCalls::sendmmsg(fd, messages, count, flags);
  }
  ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept override {
    if (const int refusal = refusal_of(*message); refusal != 0) {
      errno = refusal;
      return -1;
    }
    return SystemCalls::sendmsg(fd, message, flags);
  }
  int for_runs = 0;    // the errno
  int for_single = 0;  // likewise
  int for_source = 0;  // likewise, of a message that names its source
  int batches = 0;

 private:
  [[nodiscard]] int refusal_of(const msghdr& message) const {
    int refusal = for_single;
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
         control = CMSG_NXTHDR(const_cast<msghdr*>(&message), control)) {
      const bool names_source = control->cmsg_type == IP_PKTINFO || control->cmsg_type == IPV6_PKTINFO;
      if (for_source != 0 && control->cmsg_level != SOL_UDP && names_source) return for_source;
      if (control->cmsg_level == SOL_UDP) refusal = for_runs;
    }
    return refusal;
  }
};

class RefusedSends : public UdpSocketTest {
 protected:
  void SetUp() override {
    UdpSocketTest::SetUp();
    if (IsSkipped()) return;
    sender_.emplace(*UdpSocket::open({.family = GetParam(), .calls = &calls_}));
  }
  // Three runs of ten datagrams each, told apart by their length; whether all came, in order and once.
  bool three_runs_arrive() {
    const auto bytes = counting_bytes(3000);
    const SendRun runs[] = {{to_, 0, BytesView(bytes).first(1000), 100},
                            {to_, 0, BytesView(bytes).first(2000), 200},
                            {to_, 0, BytesView(bytes).first(3000), 300}};
    sender_->send_batch(runs);
    const auto datagrams = receive(*receiver_, 30);
    if (datagrams.size() != 30) return false;
    for (size_t index = 0; index < 30; ++index) {
      const size_t length = 100 * (index / 10 + 1);
      if (datagrams[index].bytes.size() != length) return false;
      const auto sent = BytesView(bytes).subspan(index % 10 * length, length);
      if (!std::ranges::equal(datagrams[index].bytes, sent)) return false;
    }
    return true;
  }
  RefusingCalls calls_;
};

TEST_P(RefusedSends, EioSwitchesSegmentationOffAndLosesNothing) {
  ASSERT_TRUE(sender_->segments());
  calls_.for_runs = EIO;
  EXPECT_TRUE(three_runs_arrive());
  EXPECT_FALSE(sender_->segments());
  EXPECT_EQ(calls_.batches, 1) << "not tried again";
  EXPECT_EQ(sender_->counts().sent, 30u);
}

TEST_P(RefusedSends, EinvalSwitchesSegmentationOffWhenItDoesNotCease) {
  calls_.for_runs = EINVAL;
  EXPECT_TRUE(three_runs_arrive());
  EXPECT_TRUE(sender_->segments()) << "it may have been those runs, or that route";
  for (int round = 0; round < 5; ++round) EXPECT_TRUE(three_runs_arrive());
  EXPECT_FALSE(sender_->segments());
  EXPECT_EQ(sender_->counts().sent, 180u);
}

TEST_P(RefusedSends, OneRefusalAmongSuccessesSwitchesNothingOff) {
  for (int round = 0; round < 30; ++round) {
    calls_.for_runs = round % 2 == 0 ? EINVAL : 0;
    EXPECT_TRUE(three_runs_arrive());
  }
  EXPECT_TRUE(sender_->segments());
}

TEST_P(RefusedSends, AreCountedByTheirReason) {
  const auto bytes = counting_bytes(100);
  const SendRun run{to_, 0, bytes, 100};
  for (const int refusal : {EMSGSIZE, ENOBUFS, EAGAIN, EPERM, ENETUNREACH, EHOSTUNREACH, EOPNOTSUPP}) {
    calls_.for_single = refusal;
    sender_->send_batch({&run, 1});
  }
  const SendCounts& counts = sender_->counts();
  EXPECT_EQ(counts.sent, 0u);
  EXPECT_EQ(counts.too_large, 1u);
  EXPECT_EQ(counts.no_buffer, 2u);
  EXPECT_EQ(counts.refused, 1u);
  EXPECT_EQ(counts.unreachable, 2u);
  EXPECT_EQ(counts.other, 1u);
  calls_.for_single = 0;
  sender_->send_batch({&run, 1});
  EXPECT_EQ(sender_->counts().sent, 1u) << "and it is back when the network is";
}

TEST_P(RefusedSends, ForWantOfRoomOrByAFirewallDoNotGoFromAnotherSource) {
  const auto bytes = counting_bytes(1000);
  to_.local = loopback(GetParam());
  const SendRun runs[] = {{to_, 0, BytesView(bytes).first(100), 100}, {to_, 0, bytes, 100}};
  for (const int refusal : {EAGAIN, ENOBUFS, EPERM}) {
    calls_.for_source = refusal;
    sender_->send_batch(runs);
  }
  EXPECT_EQ(sender_->counts().sent, 0u);
  EXPECT_EQ(sender_->counts().no_buffer, 22u);
  EXPECT_EQ(sender_->counts().refused, 11u);
}

TEST_P(RefusedSends, ForASourceThatIsGoneGoFromAnotherAndSwitchNothingOff) {
  to_.local = loopback(GetParam());
  for (const int refusal : {EINVAL, EADDRNOTAVAIL, ENETUNREACH}) {
    calls_.for_source = refusal;
    for (int round = 0; round < 20; ++round) EXPECT_TRUE(three_runs_arrive());
  }
  EXPECT_EQ(sender_->counts().sent, 3u * 20 * 30);
  EXPECT_TRUE(sender_->segments());
}

INSTANTIATE_TEST_SUITE_P(Families, RefusedSends, testing::Values(IpFamily::kIpv4, IpFamily::kIpv6),
                         [](const auto& family) {
                           return family.param == IpFamily::kIpv4 ? "Ipv4" : "Ipv6";
                         });
INSTANTIATE_TEST_SUITE_P(Families, UdpSocketTest, testing::Values(IpFamily::kIpv4, IpFamily::kIpv6),
                         [](const auto& family) {
                           return family.param == IpFamily::kIpv4 ? "Ipv4" : "Ipv6";
                         });

}  // namespace
}  // namespace vpn::io
