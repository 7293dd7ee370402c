// The registry of drop reasons: every value of core::Drop is reached here by driving a real Node, is counted
// exactly once when it is, and is what the call returned. A new value does not compile until it has its place
// in drive().
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "vpn/core/node_test_support.h"
#include "vpn/noise/cookie.h"
#include "vpn/noise/identity.h"

namespace vpn::core {
namespace {

using namespace testing;
using Bytes = std::vector<uint8_t>;

constexpr size_t kMac1At = wire::kInitiationBytes - wire::kMacsBytes;

// A node and the count of one reason before the message that shall be dropped for it.
class Watch {
 public:
  Watch(TestNode& node, Drop drop)
      : node_(node), drop_(drop), before_(count()), total_before_(node.node().drops().total()) {}
  [[nodiscard]] uint64_t hits() { return count() - before_; }
  [[nodiscard]] uint64_t drops() { return node_.node().drops().total() - total_before_; }

 private:
  [[nodiscard]] uint64_t count() { return node_.node().drops().of(drop_); }

  TestNode& node_;
  Drop drop_;
  uint64_t before_, total_before_;
};

// What came of one attempt to make a node drop something.
struct Outcome {
  std::optional<Drop> returned;  // empty where no call returns it
  uint64_t hits = 0;             // of the reason in question
  uint64_t drops = 0;            // of all reasons
};

Outcome receive(TestNode& node, Drop drop, const Endpoint& from, Bytes bytes, Now now) {
  Watch watch(node, drop);
  const auto result = node.receive(from, std::move(bytes), now);
  return {result ? std::nullopt : std::optional(result.error()), watch.hits(), watch.drops()};
}

Outcome send(TestNode& node, Drop drop, const Bytes& packet, Now now) {
  Watch watch(node, drop);
  const auto returned = node.send(packet, now);
  return {returned, watch.hits(), watch.drops()};
}

// The first message of `sender` to node 2.
Bytes initiation_of(TestNode& sender, Now now) {
  sender.send(ip_packet(sender.number(), 2), now);
  return sender.take().bytes;
}

// Recomputes mac1 (and mac2 with a cookie) of a message to the node of that number.
void write_macs(uint8_t receiver, Bytes& message, const noise::Cookie* cookie = nullptr) {
  noise::write_macs(message, noise::mac1_key(public_key(receiver)), cookie);
}

// An initiation with a right mac1 from somebody node 2 does not know.
Bytes strangers_initiation(Now now) {
  TestNode stranger(9);
  stranger.add(2, now);
  return initiation_of(stranger, now);
}

// Sends from ever new sources, each with the cookie it was given, until the node gives the reason asked for.
Outcome flood(Pair& pair, Drop drop, uint32_t messages_per_source) {
  Bytes message = strangers_initiation(pair.now());
  const Bytes mac1(message.begin() + kMac1At, message.begin() + kMac1At + wire::kMacBytes);
  for (uint32_t source = 0; source < 2000; ++source) {
    const Endpoint from{
        {IpAddress::ipv4(10, 7, static_cast<uint8_t>(source >> 8), static_cast<uint8_t>(source)), 7, 0},
        {},
        0};
    write_macs(2, message);
    const Outcome asked = receive(pair.b, drop, from, message, pair.now());
    if (asked.returned == drop) return asked;
    if (asked.returned != Drop::kCookieRequired) continue;  // not under load yet
    const Bytes reply = pair.b.take().bytes;
    const auto cookie =
        noise::open_cookie_reply(noise::cookie_key(public_key(2)), fixed_view<wire::kMacBytes>(mac1),
                                 std::get<wire::CookieReply>(*wire::parse(reply)));
    write_macs(2, message, &*cookie);
    for (uint32_t i = 0; i < messages_per_source; ++i) {
      const Outcome outcome = receive(pair.b, drop, from, message, pair.now());
      if (outcome.returned == drop) return outcome;
    }
  }
  return {};
}

// Seals any content on the current session of pair.a and hands it to pair.b.
Outcome receive_sealed(Pair& pair, Drop drop, const Bytes& plain, Counter counter = 100) {
  const auto aeads = crypto::select_aeads();
  const auto session = pair.a.node().current_session(pair.b_at_a);
  Bytes datagram(plain.size() + wire::kDataOverheadBytes);
  session->seal(aeads.of(session->suite()), counter, plain, datagram);
  return receive(pair.b, drop, endpoint(1), datagram, pair.now());
}

Bytes data_message(Pair& pair) {
  pair.a.send(ip_packet(1, 2), pair.now());
  return pair.a.take().bytes;
}

// What is dropped before any key is used.
Outcome drive_before_keys(Pair& pair, Drop drop) {
  const auto now = [&pair] { return pair.now(); };
  const auto at_b = [&](Bytes bytes) { return receive(pair.b, drop, endpoint(1), std::move(bytes), now()); };
  switch (drop) {
    case Drop::kUnknownType:
      return at_b(Bytes(40, 9));
    case Drop::kBadLength: {
      Bytes initiation = initiation_of(pair.a, now());
      initiation.pop_back();
      return at_b(initiation);
    }
    case Drop::kNoPrivateKey:
      pair.b.node().set_private_key(std::nullopt, now());
      return at_b(initiation_of(pair.a, now()));
    case Drop::kBadMac1: {
      Bytes initiation = initiation_of(pair.a, now());
      initiation[kMac1At] ^= 1;
      return at_b(initiation);
    }
    case Drop::kHandshakeOverload:
      return flood(pair, drop, 5);
    case Drop::kCookieRequired:
      return flood(pair, drop, 0);
    case Drop::kRateLimited:
      return flood(pair, drop, 6);
    case Drop::kUnknownIndex: {
      pair.connect();
      Bytes data = data_message(pair);
      data[4] ^= 1;
      return at_b(data);
    }
    case Drop::kWrongIndexKind: {
      const Bytes initiation = initiation_of(pair.a, now());
      Bytes data(wire::kKeepaliveBytes);
      data[0] = 4;
      copy_bytes(BytesView(initiation).subspan(4, 4), MutableBytes(data).subspan(4));
      return receive(pair.a, drop, endpoint(2), data, now());
    }
    default:
      return {};
  }
}

// Handshake messages and cookie replies.
Outcome drive_handshake(Pair& pair, Drop drop) {
  const auto now = [&pair] { return pair.now(); };
  const auto at_b = [&](Bytes bytes) { return receive(pair.b, drop, endpoint(1), std::move(bytes), now()); };
  switch (drop) {
    case Drop::kHandshakeAuth: {
      Bytes initiation = initiation_of(pair.a, now());
      initiation[40] ^= 1;
      write_macs(2, initiation);
      return at_b(initiation);
    }
    case Drop::kLowOrderKey: {
      Bytes initiation = initiation_of(pair.a, now());
      std::fill_n(initiation.begin() + 8, 32, uint8_t{0});
      write_macs(2, initiation);
      return at_b(initiation);
    }
    case Drop::kUnknownPeer:
      return at_b(strangers_initiation(now()));
    case Drop::kWrongSuite:
      pair.a.node().set_suite(pair.b_at_a, crypto::Suite::kAes256Gcm);
      return at_b(initiation_of(pair.a, now()));
    case Drop::kOldTimestamp: {
      const Bytes initiation = initiation_of(pair.a, now());
      (void)at_b(initiation);
      pair.skip(1s);
      return at_b(initiation);
    }
    case Drop::kInitiationTooSoon: {
      (void)at_b(initiation_of(pair.a, now()));
      TestNode restarted(1, {}, 2);
      Now later = now();
      later.wall.seconds += 10;
      restarted.add(2, later);
      return at_b(initiation_of(restarted, later));
    }
    case Drop::kUnexpectedResponse: {
      (void)at_b(initiation_of(pair.a, now()));
      const Bytes response = pair.b.take().bytes;
      (void)pair.a.receive(endpoint(2), response, now());
      return receive(pair.a, drop, endpoint(2), response, now());
    }
    case Drop::kUnexpectedCookie:
    case Drop::kBadCookie: {
      (void)flood(pair, Drop::kCookieRequired, 0);
      pair.b.sent().clear();
      (void)pair.b.receive(endpoint(1), initiation_of(pair.a, now()), now());
      Bytes reply = pair.b.take().bytes;
      if (drop == Drop::kBadCookie) {
        reply.back() ^= 1;
      } else {
        (void)pair.a.receive(endpoint(2), reply, now());
      }
      return receive(pair.a, drop, endpoint(2), reply, now());
    }
    default:
      return {};
  }
}

// Data messages received.
Outcome drive_data(Pair& pair, Drop drop) {
  const auto now = [&pair] { return pair.now(); };
  const auto at_b = [&](Bytes bytes) { return receive(pair.b, drop, endpoint(1), std::move(bytes), now()); };
  switch (drop) {
    case Drop::kSessionExpired: {
      pair.connect();
      const Bytes data = data_message(pair);
      pair.skip(180s);
      return at_b(data);
    }
    case Drop::kCounterLimit:
      pair.connect();
      return receive_sealed(pair, drop, {}, kRejectAfterMessages);
    case Drop::kDataAuth: {
      pair.connect();
      Bytes data = data_message(pair);
      data.back() ^= 1;
      return at_b(data);
    }
    case Drop::kReplayed: {
      pair.connect();
      const Bytes data = data_message(pair);
      (void)at_b(data);
      return at_b(data);
    }
    case Drop::kInnerNotIp:
      pair.connect();
      return receive_sealed(pair, drop, Bytes(32, 0x77));
    case Drop::kInnerLength: {
      pair.connect();
      Bytes packet = ip_packet(1, 2, 64);
      packet[3] = 65;
      return receive_sealed(pair, drop, packet);
    }
    case Drop::kSourceNotAllowed:
      pair.connect();
      return receive_sealed(pair, drop, ip_packet(3, 2, 64));
    default:
      return {};
  }
}

// Packets to be sent.
Outcome drive_outbound(Pair& pair, Drop drop) {
  const auto now = [&pair] { return pair.now(); };
  switch (drop) {
    case Drop::kOutboundNotIp:
      return send(pair.a, drop, Bytes(40, 0x77), now());
    case Drop::kNoRoute:
      return send(pair.a, drop, ip_packet(1, 3), now());
    case Drop::kNoEndpoint:
      return send(pair.b, drop, ip_packet(2, 1), now());
    case Drop::kTooLarge:
      return send(pair.a, drop, ip_packet(1, 2, 65'500), now());
    case Drop::kStagedOverflow: {
      for (size_t i = 0; i < kMaxStagedPackets; ++i) pair.a.send(ip_packet(1, 2), now());
      return send(pair.a, drop, ip_packet(1, 2), now());
    }
    case Drop::kHandshakeGaveUp: {
      Watch watch(pair.a, drop);
      pair.a.send(ip_packet(1, 2), now());
      pair.run(120s, /*cut=*/true);
      return {std::nullopt, watch.hits(), watch.drops()};
    }
    case Drop::kInterfaceDown: {
      Watch watch(pair.a, drop);
      pair.a.send(ip_packet(1, 2), now());
      pair.a.node().go_down();
      return {std::nullopt, watch.hits(), watch.drops()};
    }
    case Drop::kPeerRemoved: {
      Watch watch(pair.a, drop);
      pair.a.send(ip_packet(1, 2), now());
      pair.a.node().remove_peer(pair.b_at_a);
      return {std::nullopt, watch.hits(), watch.drops()};
    }
    default:
      return {};
  }
}

Outcome drive(Drop drop) {
  NodeOptions options;
  options.handshakes_per_second = 1;  // so that load does not pass
  Pair pair(crypto::Suite::kChaCha20Poly1305, options);
  switch (drop) {
    case Drop::kUnknownType:
    case Drop::kBadLength:
    case Drop::kNoPrivateKey:
    case Drop::kBadMac1:
    case Drop::kHandshakeOverload:
    case Drop::kCookieRequired:
    case Drop::kRateLimited:
    case Drop::kUnknownIndex:
    case Drop::kWrongIndexKind:
      return drive_before_keys(pair, drop);
    case Drop::kHandshakeAuth:
    case Drop::kLowOrderKey:
    case Drop::kUnknownPeer:
    case Drop::kWrongSuite:
    case Drop::kOldTimestamp:
    case Drop::kInitiationTooSoon:
    case Drop::kUnexpectedResponse:
    case Drop::kUnexpectedCookie:
    case Drop::kBadCookie:
      return drive_handshake(pair, drop);
    case Drop::kSessionExpired:
    case Drop::kCounterLimit:
    case Drop::kDataAuth:
    case Drop::kReplayed:
    case Drop::kInnerNotIp:
    case Drop::kInnerLength:
    case Drop::kSourceNotAllowed:
      return drive_data(pair, drop);
    case Drop::kOutboundNotIp:
    case Drop::kNoRoute:
    case Drop::kNoEndpoint:
    case Drop::kTooLarge:
    case Drop::kStagedOverflow:
    case Drop::kHandshakeGaveUp:
    case Drop::kInterfaceDown:
    case Drop::kPeerRemoved:
      return drive_outbound(pair, drop);
  }
  return {};
}

// Those that happen to a packet staged earlier, so that no call returns them.
bool befalls_staged_packets(Drop drop) {
  return drop == Drop::kStagedOverflow || drop == Drop::kHandshakeGaveUp || drop == Drop::kInterfaceDown ||
         drop == Drop::kPeerRemoved;
}

class DropRegistry : public ::testing::TestWithParam<size_t> {};

TEST_P(DropRegistry, IsReachedAndCountedOnce) {
  const Drop drop = static_cast<Drop>(GetParam());
  const Outcome outcome = drive(drop);
  EXPECT_EQ(outcome.hits, 1U);
  EXPECT_EQ(outcome.drops, 1U) << "one message, one reason";
  EXPECT_EQ(outcome.returned, befalls_staged_packets(drop) ? std::nullopt : std::optional(drop));
}

INSTANTIATE_TEST_SUITE_P(Every, DropRegistry, ::testing::Range<size_t>(0, kDropCount), [](const auto& run) {
  return std::string(drop_name(static_cast<Drop>(run.param)));
});

TEST(DropRegistryNames, AreDistinctAndExplained) {
  std::set<std::string_view> names, meanings;
  for (size_t i = 0; i < kDropCount; ++i) {
    names.insert(drop_name(static_cast<Drop>(i)));
    meanings.insert(drop_meaning(static_cast<Drop>(i)));
  }
  EXPECT_EQ(names.size(), kDropCount);
  EXPECT_EQ(meanings.size(), kDropCount);
}

}  // namespace
}  // namespace vpn::core
