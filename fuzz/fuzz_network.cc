// Two nodes and a hostile network, as a sequence of operations: packets sent, datagrams lost, doubled, held
// back, replayed long after, changed, cut and delivered from other addresses, clocks stepped, keys, cipher
// suites and limits changed in mid-flight, sessions driven to their last counters.
//
// Whatever happens: no inner packet arrives twice, none arrives that was not sent or at the wrong node, no
// nonce is used twice under one key, no initiation repeats its ephemeral key or comes less than 5 s after the
// last one, and an idle node is silent. Once the network behaves again, both directions work within the time
// the protocol allows.
#include <algorithm>
#include <deque>
#include <limits>
#include <optional>
#include <set>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/two_nodes.h"
#include "vpn/base/check.h"

namespace vpn {
namespace {

using fuzz::address_of;
using fuzz::Bytes32;
using fuzz::key;
using fuzz::node_at;
using fuzz::Side;
using namespace std::chrono_literals;

constexpr size_t kMaxSteps = 24;
constexpr size_t kMaxInFlight = 64;
constexpr size_t kPacketBytes = 32;
// Timers that are run at their time, in all of the steps: keeps long stretches of silence cheap.
constexpr size_t kMaxWakeups = 32;
// Silence is noticed after 15 s, initiations are 5 s apart, each time with up to 333 ms of jitter, and a
// session's last second may pass in between.
constexpr Duration kRecoveryTime = 40s;

struct Datagram {
  size_t to = 0;
  std::vector<uint8_t> bytes;
};

class World {
 public:
  World() {
    sides_[0].meet(sides_[1], now_);
    sides_[1].meet(sides_[0], now_);
  }

  void step(fuzz::Input& input) {
    const auto what = input.take<uint8_t>();
    const auto how = input.take<uint8_t>();
    const size_t side = what >> 7;
    switch (what & 15) {
      case 0:
      case 1:
      case 2:
        send(side, (how & 1) != 0);
        break;
      case 3:
      case 4:
      case 5:
        if (!in_flight_.empty()) deliver(how % in_flight_.size(), what >> 4, /*keep=*/false);
        break;
      case 6:  // doubled: it stays under way
        if (!in_flight_.empty()) deliver(how % in_flight_.size(), what >> 4, /*keep=*/true);
        break;
      case 7:
        if (!in_flight_.empty())
          in_flight_.erase(in_flight_.begin() + how % static_cast<int>(in_flight_.size()));
        break;
      case 8:
        if (!in_flight_.empty()) deliver_changed(how % in_flight_.size(), what >> 4, input.take<uint16_t>());
        break;
      case 9:  // long after
        if (!past_.empty()) receive(past_[how % past_.size()], what >> 4);
        break;
      case 10:
        deliver_all();
        break;
      case 11:
        pass(std::chrono::milliseconds(uint64_t{1} << how % 18), (how & 0x80) != 0);
        break;
      case 12:
        step_wall_clock(how);
        break;
      case 13:
        configure(side, how);
        break;
      case 14:
        skip_counters(side, how);
        break;
      default:
        receive_junk(side, input.bytes(how), what >> 4);
        break;
    }
  }

  // The network behaves, and both nodes have something to say now and then: all of it arrives in the end.
  void expect_recovery() {
    wakeup_limit_ = std::numeric_limits<size_t>::max();
    reconcile();
    in_flight_.clear();
    const Instant deadline = now_.monotonic + kRecoveryTime;
    while (now_.monotonic < deadline) {
      send(0);
      send(1);
      pass(8s, /*lossy=*/false);
    }
    const std::array<size_t, 2> before{delivered_[0].size(), delivered_[1].size()};
    send(0);
    send(1);
    deliver_all();
    VPN_CHECK(delivered_[0].size() == before[0] + 1 && delivered_[1].size() == before[1] + 1);
  }

  // Nobody sends: what is still owed is said within 15 s and 40 s, and then there is silence (keepalives
  // answer none).
  void expect_silence() {
    pass(40s, /*lossy=*/false);
    const size_t before = sent_count_;
    pass(100s, /*lossy=*/false);
    VPN_CHECK(sent_count_ == before);
  }

 private:
  void send(size_t side, bool by_worker = false) {
    std::vector<uint8_t> packet(kPacketBytes);
    packet[0] = 0x45;
    packet[3] = kPacketBytes;
    packet[12] = packet[16] = 10;
    packet[15] = static_cast<uint8_t>(side);
    packet[19] = static_cast<uint8_t>(1 - side);
    store_be(&packet[20], ++last_label_);
    std::vector<uint8_t> out(sides_[side].node().sealed_bytes(packet.size()));
    if (by_worker && send_as_worker(side, packet, out)) return;
    const auto sent = sides_[side].node().send_packet(packet, out, now_);
    VPN_CHECK(sent.has_value());  // there is a route, an endpoint and a key: it is sent or staged
    sent_labels_[1 - side].insert(last_label_);
    if (*sent) take_transmit(side, **sent);
    collect();
  }

  // The way of a worker, which seals between two calls; false where there is no session to send on.
  bool send_as_worker(size_t side, BytesView packet, MutableBytes out) {
    const auto destination = IpAddress::ipv4(fixed_view<4>(packet, 16));
    const auto reserved = sides_[side].node().reserve_outbound(destination, 1, out.size(), now_);
    VPN_CHECK(reserved.has_value());
    if (!*reserved) return false;
    const core::Session& session = *(*reserved)->session;
    std::vector<uint8_t> plain(packet.begin(), packet.end());
    plain.resize(out.size() - 32);
    session.seal(aeads_.of(session.suite()), (*reserved)->first_counter, plain, out);
    sent_labels_[1 - side].insert(last_label_);
    take_transmit(side, {(*reserved)->to, 0, (*reserved)->peer, out});
    collect();
    return true;
  }

  void collect() {
    for (size_t side = 0; side < sides_.size(); ++side) {
      while (const auto transmit = sides_[side].node().poll_transmit(now_)) take_transmit(side, *transmit);
      while (sides_[side].node().poll_event()) {
      }
    }
  }

  void take_transmit(size_t side, const core::Transmit& transmit) {
    ++sent_count_;
    const BytesView bytes = transmit.datagram;
    const uint32_t type = load_le<uint32_t>(bytes.data());
    VPN_CHECK(type >= 1 && type <= 4 && node_at(transmit.to) == 1 - side);
    if (type == 4) {
      // The receiver's index names the key: no two messages under it may share a counter.
      const auto nonce = std::pair(load_le<uint32_t>(&bytes[4]), load_le<uint64_t>(&bytes[8]));
      VPN_CHECK(nonces_[side].insert(nonce).second);
      VPN_CHECK(barred_[side].count(nonce.first) == 0);
      VPN_CHECK(nonce.second < 0xffffffffffffdfffULL);
      VPN_CHECK(bytes.size() % 16 == 0 && bytes.size() >= 32);
    } else if (type == 1) {
      Bytes32 ephemeral;
      copy_bytes(bytes.subspan(8, 32), ephemeral);
      VPN_CHECK(ephemerals_.insert(ephemeral).second);
      VPN_CHECK(!initiated_[side] || now_.monotonic - *initiated_[side] >= 5s);
      initiated_[side] = now_.monotonic;
    }
    if (in_flight_.size() >= kMaxInFlight) in_flight_.pop_front();
    in_flight_.push_back({1 - side, {bytes.begin(), bytes.end()}});
  }

  void deliver(size_t which, unsigned from, bool keep) {
    const Datagram datagram = in_flight_[which];
    if (!keep) in_flight_.erase(in_flight_.begin() + static_cast<std::ptrdiff_t>(which));
    receive(datagram, from);
  }

  void deliver_changed(size_t which, unsigned from, uint16_t where) {
    Datagram datagram = in_flight_[which];
    if ((where & 0x8000) != 0) {
      datagram.bytes.resize(where % datagram.bytes.size());
    } else {
      datagram.bytes[where / 8 % datagram.bytes.size()] ^= static_cast<uint8_t>(1u << where % 8);
    }
    receive(datagram, from);
  }

  void deliver_all() {
    collect();
    // Bounded, so that nodes that answered one another for ever would be found out.
    for (size_t count = 0; !in_flight_.empty(); ++count) {
      VPN_CHECK(count < 1000);
      deliver(0, 0, /*keep=*/false);
    }
  }

  void receive(Datagram datagram, unsigned from) {
    if (past_.size() < kMaxInFlight) past_.push_back(datagram);
    std::vector<uint8_t> buffer = std::move(datagram.bytes);
    const auto delivered =
        sides_[datagram.to].node().receive_datagram(address_of(1 - datagram.to, from), 0, buffer, now_);
    if (delivered && !delivered->packet.empty()) {
      VPN_CHECK(delivered->packet.size() == kPacketBytes);
      const uint32_t label = load_be<uint32_t>(&delivered->packet[20]);
      VPN_CHECK(sent_labels_[datagram.to].count(label) == 1);
      VPN_CHECK(delivered_[datagram.to].insert(label).second);
    }
    collect();
  }

  void receive_junk(size_t side, BytesView bytes, unsigned from) {
    receive({side, {bytes.begin(), bytes.end()}}, from);
  }

  // Runs every timer at its time, or, where there have been many, at the end: as on a machine that slept.
  // What is sent meanwhile is delivered at once, or lost.
  void pass(Duration duration, bool lossy) {
    const Instant end = now_.monotonic + duration;
    while (true) {
      Instant next = end;
      for (Side& side : sides_) {
        const auto due = side.node().poll_timeout();
        if (due && wakeups_ < wakeup_limit_) next = std::min(next, *due);
      }
      ++wakeups_;
      if (next > now_.monotonic) fuzz::advance(now_, next - now_.monotonic);
      for (Side& side : sides_) {
        side.node().handle_timeout(now_);
        VPN_CHECK(!side.node().poll_timeout() || *side.node().poll_timeout() > now_.monotonic);
      }
      collect();
      if (lossy) {
        in_flight_.clear();
      } else {
        deliver_all();
      }
      if (now_.monotonic >= end) return;
    }
  }

  void step_wall_clock(uint8_t how) {
    const int64_t days = how < 128 ? int64_t{how} : int64_t{how} - 256;
    now_.wall.seconds = std::max<int64_t>(0, now_.wall.seconds + days * 86400);
  }

  void configure(size_t side, uint8_t how) {
    core::Node& node = sides_[side].node();
    const PeerId peer = sides_[side].peer();
    switch (how & 7) {
      case 0:
        node.set_preshared_key(peer, Secret<32>((how & 8) != 0 ? key(50) : Bytes32{}));
        break;
      case 1:
        node.set_suite(peer, (how & 8) != 0 ? crypto::Suite::kAes256Gcm : crypto::Suite::kChaCha20Poly1305);
        break;
      case 2: {
        core::RekeyLimits limits;
        limits.after_bytes = (how >> 3) * uint64_t{1000};
        limits.after_time = std::chrono::seconds(1 + (how >> 3) * 4);
        limits.after_messages = 1u + (how >> 3);
        node.set_rekey_limits(peer, limits);
        break;
      }
      case 3:
        node.set_persistent_keepalive(peer, std::chrono::seconds((how >> 3) * 8), now_);
        collect();
        break;
      case 4:  // no key, and the same again: sessions may no longer send, handshakes begin anew
        node.set_private_key(std::nullopt, now_);
        node.set_private_key(Secret<32>(key(static_cast<uint8_t>(1 + side))), now_);
        bar(side);
        initiated_[side].reset();
        collect();
        break;
      case 5:
        node.set_endpoint(peer, address_of(1 - side, how >> 3), now_);
        collect();
        break;
      case 6:  // forgotten and met again: its sessions are gone, the other side's are not
        node.remove_peer(peer);
        sides_[side].meet(sides_[1 - side], now_);
        initiated_[side].reset();
        break;
      default:
        node.clear_allowed(peer);
        node.allow(peer, IpPrefix{IpAddress::ipv4(10, 0, 0, 0), 24});
        node.disallow(peer, IpPrefix{IpAddress::ipv4(10, 0, 0, 0), 24});
        node.allow(peer, IpPrefix{IpAddress::ipv4(10, 0, 0, static_cast<uint8_t>(1 - side)), 32});
        node.set_mtu(static_cast<uint16_t>(1280 + how));
        break;
    }
  }

  // What was sealed under keys from before a change of the private key may be on its way, but no more is
  // sealed.
  void bar(size_t side) {
    for (const auto& nonce : nonces_[side]) barred_[side].insert(nonce.first);
  }

  void skip_counters(size_t side, uint8_t how) {
    const auto session = sides_[side].node().current_session(sides_[side].peer());
    constexpr uint64_t kNear[] = {uint64_t{1} << 60, 0xffffffffffffdfffULL, 8128, uint64_t{1} << 32};
    if (session) session->advance_counter(kNear[how & 3] - (how >> 2));
  }

  // Settings that must agree between two ends do so again.
  void reconcile() {
    for (Side& side : sides_) {
      side.node().set_preshared_key(side.peer(), {});
      side.node().set_suite(side.peer(), crypto::Suite::kChaCha20Poly1305);
      side.node().set_rekey_limits(side.peer(), {});
      side.node().set_persistent_keepalive(side.peer(), 0s, now_);
    }
    collect();
  }

  Now now_{Instant(1000s), UnixTime{1'700'000'000, 0}};
  std::array<Side, 2> sides_{Side(0, now_), Side(1, now_)};
  crypto::AeadSet aeads_ = fuzz::fresh_aeads();  // a worker's own
  std::deque<Datagram> in_flight_;
  std::vector<Datagram> past_;
  uint32_t last_label_ = 0;
  size_t sent_count_ = 0;
  size_t wakeups_ = 0;
  size_t wakeup_limit_ = kMaxWakeups;
  std::array<std::set<uint32_t>, 2> sent_labels_;  // to each node
  std::array<std::set<uint32_t>, 2> delivered_;    // at each node
  std::array<std::set<std::pair<uint32_t, uint64_t>>, 2> nonces_;
  std::array<std::set<uint32_t>, 2> barred_;
  std::set<Bytes32> ephemerals_;
  std::array<std::optional<Instant>, 2> initiated_;
};

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  fuzz::Input input({data, size});
  World world;
  const bool to_the_end = input.flag();
  for (size_t step = 0; step < kMaxSteps && !input.empty(); ++step) world.step(input);
  if (!to_the_end) return 0;
  world.expect_recovery();
  world.expect_silence();
  return 0;
}
