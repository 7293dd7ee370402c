#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vpn/core/node_test_support.h"

namespace vpn::core {
namespace {

using namespace testing;

Datagram next_data(Pair& pair, const std::vector<uint8_t>& packet) {
  EXPECT_EQ(pair.a.send(packet, pair.now()), std::nullopt);
  return pair.a.take();
}

// M4.3
TEST(NodeData, ReplayedPacketIsDroppedAndReorderedOnesAreNot) {
  Pair pair;
  pair.connect();
  std::vector<Datagram> datagrams;
  for (uint32_t label = 0; label < 10; ++label)
    datagrams.push_back(next_data(pair, ip_packet(1, 2, 64, label)));
  for (size_t index = datagrams.size(); index-- > 0;) {
    EXPECT_TRUE(pair.b.receive(endpoint(1), datagrams[index].bytes, pair.now()).has_value());
  }
  for (const Datagram& datagram : datagrams) {
    EXPECT_EQ(pair.b.receive(endpoint(1), datagram.bytes, pair.now()).error(), Drop::kReplayed);
    EXPECT_EQ(pair.b.receive(endpoint(5), datagram.bytes, pair.now()).error(), Drop::kReplayed);
  }
  EXPECT_EQ(pair.b.node().status(pair.a_at_b, pair.now().monotonic)->endpoint, endpoint(1));
}

// M4.2: and a forged copy does not use up the counter of the true one.
TEST(NodeData, TamperedPacketIsDroppedSilentlyAndChangesNothing) {
  Pair pair;
  pair.connect();
  const Datagram datagram = next_data(pair, ip_packet(1, 2, 64));
  for (size_t bit = 0; bit < datagram.bytes.size() * 8; ++bit) {
    std::vector<uint8_t> tampered = datagram.bytes;
    tampered[bit / 8] = static_cast<uint8_t>(tampered[bit / 8] ^ (1u << bit % 8));
    EXPECT_FALSE(pair.b.receive(endpoint(66), tampered, pair.now()).has_value()) << "bit " << bit;
  }
  EXPECT_TRUE(pair.b.sent_nothing());
  EXPECT_EQ(pair.b.node().status(pair.a_at_b, pair.now().monotonic)->endpoint, endpoint(1));
  EXPECT_TRUE(pair.b.receive(endpoint(1), datagram.bytes, pair.now()).has_value());
}

// S2: the same plaintext twice gives different ciphertext under different counters.
TEST(NodeData, CountersNeverRepeat) {
  Pair pair;
  pair.connect();
  const Datagram first = next_data(pair, ip_packet(1, 2, 64));
  const Datagram second = next_data(pair, ip_packet(1, 2, 64));
  EXPECT_EQ(load_le<uint64_t>(second.bytes.data() + 8), load_le<uint64_t>(first.bytes.data() + 8) + 1);
  EXPECT_FALSE(std::equal(first.bytes.begin() + 16, first.bytes.end(), second.bytes.begin() + 16));
}

// S7: nothing happens at 2^32; the limits are where the protocol has them.
TEST(NodeData, CounterLimits) {
  Pair pair;
  pair.connect();
  const auto session = pair.a.node().current_session(pair.b_at_a);
  session->advance_counter((uint64_t{1} << 32) - 1);
  pair.a.send(ip_packet(1, 2), pair.now());
  pair.a.send(ip_packet(1, 2), pair.now());
  pair.deliver_all();
  EXPECT_EQ(pair.at_b.size(), 3u);

  pair.skip(6s);
  session->advance_counter(kRekeyAfterMessages);
  pair.a.send(ip_packet(1, 2), pair.now());
  pair.deliver_all();
  EXPECT_NE(pair.a.node().current_session(pair.b_at_a), session);  // a new session was made in time
  EXPECT_EQ(pair.at_b.size(), 4u);

  const auto last = pair.a.node().current_session(pair.b_at_a);
  last->advance_counter(kRejectAfterMessages - 1);
  Datagram final_message = next_data(pair, ip_packet(1, 2));
  EXPECT_EQ(load_le<uint64_t>(final_message.bytes.data() + 8), kRejectAfterMessages - 1);
  pair.b.receive(endpoint(1), final_message.bytes, pair.now());
  pair.a.sent().clear();
  pair.a.send(ip_packet(1, 2), pair.now());
  EXPECT_EQ(pair.a.node().status(pair.b_at_a, pair.now().monotonic)->staged_packets,
            1u);  // not one message more
}

TEST(NodeData, PadsToSixteenButNeverPastTheMtu) {
  Pair pair;  // MTU 1420
  for (const auto& [packet, padded] : std::vector<std::pair<size_t, size_t>>{{20, 32},
                                                                             {32, 32},
                                                                             {33, 48},
                                                                             {1408, 1408},
                                                                             {1409, 1420},
                                                                             {1419, 1420},
                                                                             {1420, 1420},
                                                                             {1421, 1436},
                                                                             {2840, 2840}}) {
    EXPECT_EQ(pair.a.node().sealed_bytes(packet), padded + 32) << packet;
  }
}

// M2.3: roaming follows the latest authentic datagram, of either direction.
TEST(NodeData, EndpointFollowsAuthenticDatagrams) {
  Pair pair;
  pair.connect();
  const Datagram datagram = next_data(pair, ip_packet(1, 2));
  pair.b.receive(endpoint(7, 1234), datagram.bytes, pair.now());
  EXPECT_EQ(pair.b.node().status(pair.a_at_b, pair.now().monotonic)->endpoint, endpoint(7, 1234));
  EXPECT_EQ(pair.b.count_events(EventKind::kRoamed), 1u);
  pair.b.send(ip_packet(2, 1), pair.now());
  EXPECT_EQ(pair.b.take().to, endpoint(7, 1234));
}

TEST(NodeData, ForbiddenInnerSourceIsDroppedButRoams) {
  Pair pair;
  pair.connect();
  const PeerId third = pair.b.add(3, pair.now());
  const Datagram spoofed = next_data(pair, ip_packet(3, 2));
  EXPECT_EQ(pair.b.receive(endpoint(8), spoofed.bytes, pair.now()).error(), Drop::kSourceNotAllowed);
  EXPECT_EQ(pair.b.node().status(pair.a_at_b, pair.now().monotonic)->endpoint, endpoint(8));
  // A covering prefix does not help: the longest prefix owns the address.
  pair.b.node().allow(pair.a_at_b, *IpPrefix::parse("10.0.0.0/8"));
  const Datagram again = next_data(pair, ip_packet(3, 2));
  EXPECT_EQ(pair.b.receive(endpoint(1), again.bytes, pair.now()).error(), Drop::kSourceNotAllowed);
  pair.b.node().remove_peer(third);
  const Datagram now_covered = next_data(pair, ip_packet(3, 2));
  EXPECT_TRUE(pair.b.receive(endpoint(1), now_covered.bytes, pair.now()).has_value());
}

TEST(NodeData, OutboundRefusals) {
  Pair pair;
  EXPECT_EQ(pair.a.send({0x10, 0, 0, 0}, pair.now()), Drop::kOutboundNotIp);
  EXPECT_EQ(pair.a.send({}, pair.now()), Drop::kOutboundNotIp);
  EXPECT_EQ(pair.a.send(ip_packet(1, 9), pair.now()), Drop::kNoRoute);
  EXPECT_EQ(pair.b.send(ip_packet(2, 1), pair.now()), Drop::kNoEndpoint);
  EXPECT_EQ(pair.a.send(ip_packet(1, 2, 65500), pair.now()), Drop::kTooLarge);
}

TEST(NodeData, StagesAtMost128PacketsAndDropsTheOldest) {
  Pair pair;
  for (uint32_t label = 0; label < 130; ++label) pair.a.send(ip_packet(1, 2, 64, label), pair.now());
  EXPECT_EQ(pair.a.node().drops().of(Drop::kStagedOverflow), 2u);
  pair.deliver_all();
  ASSERT_EQ(pair.at_b.size(), 128u);
  for (uint32_t index = 0; index < 128; ++index)
    EXPECT_EQ(load_be<uint32_t>(pair.at_b[index].data() + 20), index + 2);
}

// M4.5, M3.2: rekey by time, by the initiator, without losing a packet.
TEST(NodeData, RekeysByTimeWithoutLoss) {
  Pair pair;
  pair.connect();
  for (int step = 0; step < 4000; ++step) {
    pair.run(100ms);
    pair.a.send(ip_packet(1, 2), pair.now());
    pair.b.send(ip_packet(2, 1), pair.now());
    pair.deliver_all();
  }
  EXPECT_EQ(pair.at_b.size(), 4001u);
  EXPECT_EQ(pair.at_a.size(), 4000u);
  EXPECT_EQ(pair.a.count_events(EventKind::kHandshakeCompleted), 4u);  // at 0, 120, 240 and 360 s
  EXPECT_EQ(pair.b.count_events(EventKind::kHandshakeInitiated), 0u);
  EXPECT_EQ(pair.a.node().drops().total() + pair.b.node().drops().total(), 0u);
}

TEST(NodeData, RekeysByVolume) {
  Pair pair;
  RekeyLimits limits;
  limits.after_bytes = 64 * 1024;
  pair.a.node().set_rekey_limits(pair.b_at_a, limits);
  pair.connect();
  pair.skip(6s);
  for (int packet = 0; packet < 100; ++packet) {
    pair.a.send(ip_packet(1, 2, 1400), pair.now());
    pair.deliver_all();
  }
  EXPECT_EQ(pair.a.count_events(EventKind::kHandshakeCompleted), 2u);
  EXPECT_EQ(pair.at_b.size(), 101u);
}

TEST(NodeData, LimitsAreNeverLooserThanTheProtocols) {
  Pair pair;
  RekeyLimits limits;
  limits.after_time = 9999s;
  limits.after_messages = UINT64_MAX;
  pair.a.node().set_rekey_limits(pair.b_at_a, limits);
  const auto status = pair.a.node().status(pair.b_at_a, pair.now().monotonic);
  EXPECT_EQ(status->rekey.after_time, 120s);
  EXPECT_EQ(status->rekey.after_messages, kRekeyAfterMessages);
}

TEST(NodeData, SessionsAreRejectedAfter180Seconds) {
  Pair pair;
  pair.connect();
  const Datagram kept = next_data(pair, ip_packet(1, 2));
  const Datagram late = next_data(pair, ip_packet(1, 2));
  pair.skip(180s - 1ns);
  EXPECT_TRUE(pair.b.receive(endpoint(1), kept.bytes, pair.now()).has_value());
  pair.skip(1ns);
  EXPECT_EQ(pair.b.receive(endpoint(1), late.bytes, pair.now()).error(), Drop::kSessionExpired);
}

TEST(NodeData, InitiatorRekeysOnceWhenReceivingLate) {
  Pair pair;
  pair.connect();
  pair.skip(166s);
  pair.b.send(ip_packet(2, 1), pair.now());
  pair.a.receive(endpoint(2), pair.b.take().bytes, pair.now());
  ASSERT_EQ(pair.a.sent().size(), 1u);
  EXPECT_EQ(pair.a.take().bytes.size(), wire::kInitiationBytes);
  pair.b.send(ip_packet(2, 1), pair.now());
  pair.skip(5s + 1ms);
  pair.a.receive(endpoint(2), pair.b.take().bytes, pair.now());
  EXPECT_TRUE(pair.a.sent_nothing());
}

TEST(NodeData, KeysAreErasedAfter540SecondsOfSilence) {
  Pair pair;
  pair.connect();
  const std::weak_ptr<Session> session = pair.a.node().current_session(pair.b_at_a);
  pair.run(540s - 1ms, /*cut=*/true);
  EXPECT_FALSE(session.expired());
  pair.run(2ms);
  EXPECT_TRUE(session.expired());
  EXPECT_EQ(pair.a.count_events(EventKind::kSessionExpired), 1u);
}

// ── Keepalives ──

TEST(NodeKeepalive, OneKeepaliveAfterTenSecondsAndThenSilence) {
  Pair pair;
  pair.connect();
  pair.run(9s + 999ms);
  const uint64_t before = pair.b.node().status(pair.a_at_b, pair.now().monotonic)->sent_bytes;
  pair.run(2ms);
  EXPECT_EQ(pair.b.node().status(pair.a_at_b, pair.now().monotonic)->sent_bytes,
            before + wire::kKeepaliveBytes);
  const auto quiet_a = pair.a.node().status(pair.b_at_a, pair.now().monotonic)->sent_bytes;
  pair.run(500s);  // two idle peers say nothing more
  EXPECT_EQ(pair.b.node().status(pair.a_at_b, pair.now().monotonic)->sent_bytes,
            before + wire::kKeepaliveBytes);
  EXPECT_EQ(pair.a.node().status(pair.b_at_a, pair.now().monotonic)->sent_bytes, quiet_a);
}

TEST(NodeKeepalive, PersistentKeepaliveRunsAtItsInterval) {
  Pair pair;
  pair.a.node().set_persistent_keepalive(pair.b_at_a, 25s, pair.now());
  pair.deliver_all();
  const uint64_t before = pair.a.node().status(pair.b_at_a, pair.now().monotonic)->sent_bytes;
  pair.run(100s);
  EXPECT_EQ(pair.a.node().status(pair.b_at_a, pair.now().monotonic)->sent_bytes,
            before + 4 * wire::kKeepaliveBytes);
}

// M2.4
TEST(NodeKeepalive, UnansweredDataLeadsToANewHandshakeAndIsSaidOnce) {
  Pair pair;
  pair.connect();
  pair.a.send(ip_packet(1, 2), pair.now());
  pair.run(16s, /*cut=*/true);
  EXPECT_EQ(pair.a.count_events(EventKind::kWentSilent), 1u);
  ASSERT_FALSE(pair.lost_log.empty());
  EXPECT_EQ(pair.lost_log.back().type, 1u);
  pair.run(10s);
  EXPECT_EQ(pair.a.count_events(EventKind::kReconnected), 1u);
  pair.a.send(ip_packet(1, 2), pair.now());
  pair.deliver_all();
  EXPECT_EQ(pair.at_b.size(), 2u);
}

// ── ECN, RFC 6040 ──

TEST(NodeEcn, InnerFieldGoesOutAndCongestionComesBackIn) {
  Pair pair;
  pair.connect();
  const Datagram datagram = next_data(pair, ip_packet(1, 2, 100, 0, 2));
  EXPECT_EQ(datagram.tos, 2);
  const auto marked = pair.b.receive(endpoint(1), datagram.bytes, pair.now(), 3);
  ASSERT_TRUE(marked.has_value());
  EXPECT_EQ((*marked)[1] & 3, 3);
  const auto unmarked = pair.b.receive(endpoint(1), next_data(pair, ip_packet(1, 2)).bytes, pair.now(), 3);
  EXPECT_EQ((*unmarked)[1] & 3, 0);
}

// ── The batch interface ──

TEST(NodeBatch, ReservedPacketsAreSealedOutsideAndCommittedInside) {
  Pair pair;
  EXPECT_FALSE(pair.a.node().reserve_outbound(tunnel_address(2), 2, 264, pair.now())->has_value());
  pair.connect();
  const auto reservation = *pair.a.node().reserve_outbound(tunnel_address(2), 2, 2 * (112 + 32), pair.now());
  ASSERT_TRUE(reservation.has_value());
  crypto::AeadSet aeads = crypto::select_aeads();
  for (uint64_t number = 0; number < 2; ++number) {
    std::vector<uint8_t> plain = ip_packet(1, 2);
    plain.resize(112);
    std::vector<uint8_t> datagram(plain.size() + 32);
    reservation->session->seal(aeads.of(reservation->session->suite()), reservation->first_counter + number,
                               plain, datagram);
    const auto receiver =
        pair.b.node().find_receiver(SessionIndex{load_le<uint32_t>(datagram.data() + 4)}, pair.now());
    ASSERT_TRUE(receiver.has_value());
    const Counter counter = load_le<uint64_t>(datagram.data() + 8);
    const auto opened = (*receiver)->open(aeads.of((*receiver)->suite()), counter, datagram);
    ASSERT_TRUE(opened.has_value());
    const auto delivered = pair.b.node().commit_inbound(**receiver, counter, endpoint(1), 0, *opened,
                                                        datagram.size(), pair.now());
    ASSERT_TRUE(delivered.has_value());
    EXPECT_EQ(delivered->packet.size(), 100u);
    EXPECT_EQ(pair.b.node()
                  .commit_inbound(**receiver, counter, endpoint(1), 0, *opened, datagram.size(), pair.now())
                  .error(),
              Drop::kReplayed);
  }
}

TEST(NodeBatch, SessionThatWentMeanwhileIsNotCommitted) {
  Pair pair;
  pair.connect();
  const Datagram datagram = next_data(pair, ip_packet(1, 2));
  const auto receiver =
      *pair.b.node().find_receiver(SessionIndex{load_le<uint32_t>(datagram.bytes.data() + 4)}, pair.now());
  pair.b.node().remove_peer(pair.a_at_b);
  std::vector<uint8_t> plain(112);
  EXPECT_EQ(pair.b.node().commit_inbound(*receiver, 5, endpoint(1), 0, plain, 144, pair.now()).error(),
            Drop::kUnknownIndex);
}

}  // namespace
}  // namespace vpn::core
