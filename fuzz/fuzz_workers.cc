// The two ways through a Node, side by side: one pair of nodes gets each packet and datagram by itself, the
// other the same ones in batches, as workers do (reserve counters, seal outside; find the session, open
// outside, commit). Bursts, reordering, replays, forgeries, roaming, clock steps, rekeying, limits and
// changes of configuration come to both.
//
// Both must decide the same: the same datagrams byte for byte in the same order, the same packets delivered,
// the same events, the same state of each peer, the same number of packets dropped.
#include <algorithm>
#include <deque>
#include <memory>
#include <tuple>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/two_nodes.h"
#include "vpn/base/check.h"
#include "vpn/wire/ip_packet.h"
#include "vpn/wire/messages.h"

namespace vpn {
namespace {

using fuzz::Side;
using namespace std::chrono_literals;
using Bytes = std::vector<uint8_t>;

constexpr size_t kMaxSteps = 24;
constexpr size_t kMaxInFlight = 64;
constexpr size_t kMaxWakeups = 24;

struct Sent {
  core::Endpoint to;
  uint8_t tos = 0;
  std::optional<PeerId> peer;
  Bytes bytes;
  friend bool operator==(const Sent&, const Sent&) = default;
};

struct Datagram {
  Bytes bytes;
  core::Endpoint from;
  uint8_t ecn = 0;
};

// What one node did in one step.
struct Outcome {
  std::vector<Sent> sent;
  std::vector<std::pair<std::optional<PeerId>, Bytes>> delivered;
  friend bool operator==(const Outcome&, const Outcome&) = default;

  void take(const core::Transmit& transmit) {
    sent.push_back({transmit.to, transmit.tos, transmit.peer,
                    Bytes(transmit.datagram.begin(), transmit.datagram.end())});
  }
  void take(const core::Delivery& delivery) {
    if (!delivery.packet.empty())
      delivered.emplace_back(delivery.peer, Bytes(delivery.packet.begin(), delivery.packet.end()));
  }
};

class ByOne {
 public:
  static void send(core::Node& node, const std::vector<Bytes>& packets, Now now, Outcome& outcome) {
    for (const Bytes& packet : packets) {
      Bytes out(node.sealed_bytes(packet.size()));
      const auto sent = node.send_packet(packet, out, now);
      if (sent && *sent) outcome.take(**sent);
    }
  }
  static void receive(core::Node& node, std::vector<Datagram> datagrams, Now now, Outcome& outcome) {
    for (Datagram& datagram : datagrams) {
      const auto delivery = node.receive_datagram(datagram.from, datagram.ecn, datagram.bytes, now);
      if (delivery) outcome.take(*delivery);
    }
  }
};

class InBatches {
 public:
  // Packets to one destination.
  void send(core::Node& node, const std::vector<Bytes>& packets, Now now, Outcome& outcome) {
    const auto ip = wire::parse_ip_packet(packets.front());
    VPN_CHECK(ip.has_value());
    size_t datagram_bytes = 0;
    for (const Bytes& packet : packets) datagram_bytes += node.sealed_bytes(packet.size());
    const auto reserved = node.reserve_outbound(ip->destination, packets.size(), datagram_bytes, now);
    if (!reserved) {
      for (size_t index = 1; index < packets.size(); ++index) node.count_drop(reserved.error());
      return;
    }
    if (!*reserved) return ByOne::send(node, packets, now, outcome);
    const core::Session& session = *(*reserved)->session;
    for (size_t index = 0; index < packets.size(); ++index) {
      Bytes plain = packets[index];
      Bytes datagram(node.sealed_bytes(plain.size()));
      plain.resize(datagram.size() - wire::kDataOverheadBytes);
      session.seal(aeads_.of(session.suite()), (*reserved)->first_counter + index, plain, datagram);
      outcome.take({(*reserved)->to, ip->ecn, (*reserved)->peer, datagram});
    }
  }

  // Messages of one session in a row are opened first and committed together.
  void receive(core::Node& node, std::vector<Datagram> datagrams, Now now, Outcome& outcome) {
    session_.reset();
    for (Datagram& datagram : datagrams) {
      const bool is_data = datagram.bytes.size() >= wire::kDataOverheadBytes &&
                           load_le<uint32_t>(datagram.bytes.data()) == uint32_t{4};
      if (!is_data) {
        commit(node, now, outcome);
        session_.reset();
        const auto delivery = node.receive_datagram(datagram.from, datagram.ecn, datagram.bytes, now);
        if (delivery) outcome.take(*delivery);
        continue;
      }
      const SessionIndex index{load_le<uint32_t>(&datagram.bytes[4])};
      if (!session_ || session_->local_index() != index) {
        commit(node, now, outcome);
        auto found = node.find_receiver(index, now);
        session_ = found ? std::move(*found) : nullptr;
      }
      if (session_) waiting_.push_back(&datagram);
    }
    commit(node, now, outcome);
  }

 private:
  void commit(core::Node& node, Now now, Outcome& outcome) {
    std::vector<std::optional<MutableBytes>> opened;
    for (Datagram* datagram : waiting_) {
      const auto counter = load_le<uint64_t>(&datagram->bytes[8]);
      opened.push_back(session_->open(aeads_.of(session_->suite()), counter, datagram->bytes));
    }
    for (size_t index = 0; index < waiting_.size(); ++index) {
      const Datagram& datagram = *waiting_[index];
      if (!opened[index]) {
        node.count_drop(core::Drop::kDataAuth);
        continue;
      }
      const auto counter = load_le<uint64_t>(&datagram.bytes[8]);
      const auto delivery = node.commit_inbound(*session_, counter, datagram.from, datagram.ecn,
                                                *opened[index], datagram.bytes.size(), now);
      if (delivery) outcome.take(*delivery);
    }
    waiting_.clear();
  }

  crypto::AeadSet aeads_ = fuzz::fresh_aeads();
  std::shared_ptr<const core::Session> session_;
  std::vector<Datagram*> waiting_;
};

// ── What the two pairs are compared by ──

auto essence(const core::Event& event) {
  return std::tuple(event.kind, event.peer, event.when, event.endpoint, event.drop, event.initiator);
}
auto essence(const std::optional<core::SessionStatus>& session) {
  const core::SessionStatus status = session.value_or(core::SessionStatus{});
  return std::tuple(session.has_value(), status.initiator, status.local, status.remote, status.age,
                    status.sent_messages);
}
auto essence(const core::PeerStatus& peer) {
  return std::tuple(peer.endpoint, peer.last_handshake.seconds, peer.last_handshake.nanoseconds,
                    peer.received_bytes, peer.sent_bytes, peer.staged_packets, peer.roamed_count,
                    essence(peer.previous), essence(peer.current), essence(peer.next));
}

void expect_same(core::Node& one, core::Node& batched, PeerId peer, Now now) {
  while (const auto event = one.poll_event()) {
    const auto other = batched.poll_event();
    VPN_CHECK(other.has_value() && essence(*other) == essence(*event));
  }
  VPN_CHECK(!batched.poll_event());
  VPN_CHECK(one.poll_timeout() == batched.poll_timeout());
  VPN_CHECK(essence(*one.status(peer, now.monotonic)) == essence(*batched.status(peer, now.monotonic)));
  uint64_t dropped = 0;
  uint64_t dropped_in_batches = 0;
  for (size_t reason = 0; reason < core::kDropCount; ++reason) {
    const auto drop = static_cast<core::Drop>(reason);
    dropped += one.drops().of(drop);
    dropped_in_batches += batched.drops().of(drop);
    // A worker opens before it asks for the counter and the index's life, so that it may name another of
    // these.
    const bool by_order = drop == core::Drop::kDataAuth || drop == core::Drop::kReplayed ||
                          drop == core::Drop::kCounterLimit || drop == core::Drop::kUnknownIndex;
    VPN_CHECK(by_order || one.drops().of(drop) == batched.drops().of(drop));
  }
  VPN_CHECK(dropped == dropped_in_batches);
}

class World {
 public:
  World() {
    for (auto* pair : {&ones_, &batches_}) {
      (*pair)[0].meet((*pair)[1], now_);
      (*pair)[1].meet((*pair)[0], now_);
    }
  }

  void step(fuzz::Input& input) {
    const auto what = input.take<uint8_t>();
    const auto how = input.take<uint8_t>();
    const size_t side = what >> 7;
    switch (what & 15) {
      case 0:
      case 1:
      case 2:
        send(side, 1 + how % 12, input.take<uint8_t>());
        break;
      case 3:
      case 4:
      case 5:
        receive(side, how, what >> 4);
        break;
      case 6:
        receive(side, 255, 0);
        break;
      case 7:
        disturb(side, how, input.take<uint8_t>());
        break;
      case 8:
      case 9:
        pass(std::chrono::milliseconds(uint64_t{1} << how % 18));
        break;
      case 10:
        now_.wall.seconds =
            std::max<int64_t>(0, now_.wall.seconds + static_cast<int8_t>(how) * int64_t{86400});
        break;
      case 11:
        skip_counters(side, how);
        break;
      case 12:  // both ways, until nothing is under way
        for (size_t round = 0; round < 6; ++round) receive(round & 1, 255, what >> 4);
        break;
      default:
        configure(side, how);
        break;
    }
  }

 private:
  // One thing done at both nodes of one side, and its consequences compared.
  template <typename Do, typename DoBatched>
  void at_both(size_t side, Do one, DoBatched batched) {
    Outcome expected;
    Outcome outcome;
    core::Node& node = ones_[side].node();
    core::Node& other = batches_[side].node();
    one(node, expected);
    batched(other, outcome);
    while (const auto transmit = node.poll_transmit(now_)) expected.take(*transmit);
    while (const auto transmit = other.poll_transmit(now_)) outcome.take(*transmit);
    VPN_CHECK(outcome == expected);
    expect_same(node, other, ones_[side].peer(), now_);
    for (Sent& sent : expected.sent) {
      auto& queue = in_flight_[1 - side];
      if (queue.size() >= kMaxInFlight) queue.pop_front();
      queue.push_back({std::move(sent.bytes), fuzz::address_of(side, 0), static_cast<uint8_t>(sent.tos & 3)});
    }
  }
  template <typename Do>
  void at_both(size_t side, Do action) {
    at_both(
        side, [&](core::Node& node, Outcome&) { action(node, ones_[side].peer()); },
        [&](core::Node& node, Outcome&) { action(node, batches_[side].peer()); });
  }

  void send(size_t side, size_t count, uint8_t shape) {
    std::vector<Bytes> packets;
    for (size_t index = 0; index < count; ++index) {
      Bytes packet(32 + (shape & 15) * 9u);
      packet[0] = 0x45;
      packet[1] = shape >> 6;  // ECN
      packet[3] = static_cast<uint8_t>(packet.size());
      packet[12] = packet[16] = 10;
      packet[15] = static_cast<uint8_t>(side);
      packet[19] = static_cast<uint8_t>((shape & 0x30) == 0x30 ? 9 : 1 - side);  // some have no route
      store_be(&packet[20], ++last_label_);
      packets.push_back(std::move(packet));
    }
    at_both(
        side, [&](core::Node& node, Outcome& outcome) { ByOne::send(node, packets, now_, outcome); },
        [&](core::Node& node, Outcome& outcome) { worker_.send(node, packets, now_, outcome); });
  }

  void receive(size_t side, size_t count, unsigned from) {
    auto& queue = in_flight_[side];
    std::vector<Datagram> datagrams;
    for (; count > 0 && !queue.empty(); --count) {
      datagrams.push_back(std::move(queue.front()));
      queue.pop_front();
    }
    for (Datagram& datagram : datagrams) datagram.from = fuzz::address_of(1 - side, from);
    if (!datagrams.empty()) past_[side] = datagrams;
    at_both(
        side, [&](core::Node& node, Outcome& outcome) { ByOne::receive(node, datagrams, now_, outcome); },
        [&](core::Node& node, Outcome& outcome) { worker_.receive(node, datagrams, now_, outcome); });
  }

  // Of what is under way to a side: lost, doubled, turned round, changed, cut; what came last comes again.
  void disturb(size_t side, uint8_t how, uint8_t where) {
    auto& queue = in_flight_[side];
    if ((how & 7) == 0) queue.insert(queue.end(), past_[side].begin(), past_[side].end());
    if (queue.empty()) return;
    const size_t at = where % queue.size();
    Bytes& bytes = queue[at].bytes;
    switch (how & 7) {
      case 0:
        break;
      case 1:
        queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      case 2:
        queue.push_back(queue[at]);
        break;
      case 3:
        std::reverse(queue.begin(), queue.end());
        break;
      case 4:
        bytes[(how >> 3) * size_t{2} % bytes.size()] ^= static_cast<uint8_t>(1u << where % 8);
        break;
      case 5:
        bytes.resize(bytes.size() - std::min<size_t>(bytes.size() - 1, 1u + (how >> 3)));
        break;
      case 6:
        queue[at].ecn = static_cast<uint8_t>(how >> 3 & 3);
        break;
      default:
        std::rotate(queue.begin(), queue.begin() + static_cast<std::ptrdiff_t>(at), queue.end());
        break;
    }
  }

  void pass(Duration duration) {
    const Instant end = now_.monotonic + duration;
    while (true) {
      Instant next = end;
      for (Side& side : ones_) {
        const auto due = side.node().poll_timeout();
        if (due && wakeups_ < kMaxWakeups) next = std::min(next, *due);
      }
      ++wakeups_;
      if (next > now_.monotonic) fuzz::advance(now_, next - now_.monotonic);
      for (const size_t side : {size_t{0}, size_t{1}}) {
        at_both(side, [&](core::Node& node, PeerId) { node.handle_timeout(now_); });
      }
      if (now_.monotonic >= end) return;
    }
  }

  void skip_counters(size_t side, uint8_t how) {
    constexpr uint64_t kNear[] = {uint64_t{1} << 60, 0xffffffffffffdfffULL, 8128, uint64_t{1} << 32};
    at_both(side, [&](core::Node& node, PeerId peer) {
      if (const auto session = node.current_session(peer))
        session->advance_counter(kNear[how & 3] - (how >> 2));
    });
  }

  void configure(size_t side, uint8_t how) {
    at_both(side, [&](core::Node& node, PeerId peer) {
      switch (how & 7) {
        case 0:
          node.set_preshared_key(peer, Secret<32>((how & 8) != 0 ? fuzz::key(50) : fuzz::Bytes32{}));
          break;
        case 1:
          node.set_suite(peer, (how & 8) != 0 ? crypto::Suite::kAes256Gcm : crypto::Suite::kChaCha20Poly1305);
          break;
        case 2:
        case 3: {
          core::RekeyLimits limits;
          limits.after_bytes = (how >> 3) * uint64_t{100};
          limits.after_time = std::chrono::seconds(1 + (how >> 3) * 4);
          limits.after_messages = 1u + (how >> 3);
          node.set_rekey_limits(peer, limits);
          break;
        }
        case 4:
          node.set_persistent_keepalive(peer, std::chrono::seconds((how >> 3) * 8), now_);
          break;
        case 5:
          node.set_private_key(std::nullopt, now_);  // the same key by itself changes nothing
          node.set_private_key(Secret<32>(fuzz::key(static_cast<uint8_t>(1 + side))), now_);
          break;
        case 6:
          node.set_endpoint(peer, fuzz::address_of(1 - side, how >> 3), now_);
          break;
        default:
          node.set_mtu(static_cast<uint16_t>(how == 7 ? 0 : how));
          break;
      }
    });
  }

  Now now_{Instant(1000s), UnixTime{1'700'000'000, 0}};
  std::array<Side, 2> ones_{Side(0, now_), Side(1, now_)};
  std::array<Side, 2> batches_{Side(0, now_), Side(1, now_)};
  InBatches worker_;
  std::array<std::deque<Datagram>, 2> in_flight_;  // to each side
  std::array<std::vector<Datagram>, 2> past_;
  uint32_t last_label_ = 0;
  size_t wakeups_ = 0;
};

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  fuzz::Input input({data, size});
  World world;
  for (size_t step = 0; step < kMaxSteps && !input.empty(); ++step) world.step(input);
  return 0;
}
