// Two or more Nodes in one process, joined by a wire that the test holds in its hand. Virtual time, seeded
// randomness.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "vpn/base/endian.h"
#include "vpn/core/constants.h"
#include "vpn/core/node.h"
#include "vpn/crypto/initialize.h"
#include "vpn/crypto/x25519.h"
#include "vpn/wire/messages.h"

namespace vpn::core::testing {

class SeededRandom final : public crypto::RandomSource {
 public:
  explicit SeededRandom(uint64_t seed) : engine_(seed) {}
  void fill(MutableBytes out) noexcept override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(engine_());
  }

 private:
  std::mt19937_64 engine_;
};

inline Secret<32> private_key(uint8_t number) {
  Secret<32> key;
  for (size_t index = 0; index < 32; ++index)
    key.mutable_view()[index] = static_cast<uint8_t>(number + 7 * index + 1);
  crypto::clamp(key.mutable_view());
  return key;
}

inline PublicKey public_key(uint8_t number) {
  return crypto::derive_public_key(private_key(number).view());
}

inline Endpoint endpoint(uint8_t number, uint16_t port = 51820) {
  return Endpoint{UdpAddress{IpAddress::ipv4(192, 0, 2, number), port, 0}, std::nullopt, 0};
}

inline IpAddress tunnel_address(uint8_t number) {
  return IpAddress::ipv4(10, 0, 0, number);
}

// An IPv4 packet of `bytes` in all; its payload begins with `label`.
inline std::vector<uint8_t> ip_packet(uint8_t from, uint8_t to, size_t bytes = 100, uint32_t label = 0,
                                      uint8_t ecn = 0) {
  std::vector<uint8_t> packet(20);
  packet.resize(bytes, 0x5a);
  packet[0] = 0x45;
  packet[1] = ecn;
  store_be(packet.data() + 2, static_cast<uint16_t>(bytes));
  copy_bytes(tunnel_address(from).bytes(), MutableBytes(packet).subspan(12));
  copy_bytes(tunnel_address(to).bytes(), MutableBytes(packet).subspan(16));
  if (bytes >= 24) store_be(packet.data() + 20, label);
  return packet;
}

struct Datagram {
  Endpoint to;
  uint8_t tos = 0;
  std::vector<uint8_t> bytes;

  [[nodiscard]] uint32_t type() const { return load_le<uint32_t>(bytes.data()); }
};

// A node with number, key, address and everything it sent.
class TestNode {
 public:
  explicit TestNode(uint8_t number, NodeOptions options = {}, uint64_t seed = 1)
      : number_(number), random_(seed * 1000 + number), node_(make_aeads(), random_, options, Now{}) {
    node_.set_private_key(private_key(number), Now{});
  }

  // Both the peer's key and its tunnel address; with its endpoint unless told otherwise.
  PeerId add(uint8_t other, Now now, bool with_endpoint = true,
             crypto::Suite suite = crypto::Suite::kChaCha20Poly1305) {
    const PeerId id = *node_.add_peer(public_key(other), suite, now);
    node_.allow(id, IpPrefix{tunnel_address(other), 32});
    if (with_endpoint) node_.set_endpoint(id, endpoint(other), now);
    return id;
  }

  // Hands a packet to the node and collects what it sends in consequence. The drop, if it was one.
  std::optional<Drop> send(const std::vector<uint8_t>& packet, Now now) {
    std::vector<uint8_t> out(node_.sealed_bytes(packet.size()));
    const auto result = node_.send_packet(packet, out, now);
    if (!result) return result.error();
    if (*result)
      sent_.push_back(
          Datagram{(*result)->to, (*result)->tos, {(*result)->datagram.begin(), (*result)->datagram.end()}});
    collect(now);
    return std::nullopt;
  }

  Result<std::vector<uint8_t>, Drop> receive(const Endpoint& from, std::vector<uint8_t> bytes, Now now,
                                             uint8_t ecn = 0) {
    const auto result = node_.receive_datagram(from, ecn, bytes, now);
    Result<std::vector<uint8_t>, Drop> packet = result
                                                    ? Result<std::vector<uint8_t>, Drop>(std::vector<uint8_t>(
                                                          result->packet.begin(), result->packet.end()))
                                                    : fail(result.error());
    collect(now);
    return packet;
  }

  void tick(Now now) {
    node_.handle_timeout(now);
    collect(now);
  }

  void collect(Now now) {
    while (const auto transmit = node_.poll_transmit(now)) {
      sent_.push_back(
          Datagram{transmit->to, transmit->tos, {transmit->datagram.begin(), transmit->datagram.end()}});
    }
    while (const auto event = node_.poll_event()) events_.push_back(*event);
  }

  // The oldest datagram not taken yet.
  Datagram take() {
    Datagram datagram = std::move(sent_.front());
    sent_.pop_front();
    return datagram;
  }
  [[nodiscard]] bool sent_nothing() const { return sent_.empty(); }
  [[nodiscard]] size_t count_events(EventKind kind) const {
    size_t count = 0;
    for (const Event& event : events_) count += event.kind == kind ? 1 : 0;
    return count;
  }

  Node& node() { return node_; }
  std::deque<Datagram>& sent() { return sent_; }
  std::vector<Event>& events() { return events_; }
  [[nodiscard]] uint8_t number() const { return number_; }

 private:
  static crypto::AeadSet make_aeads() {
    crypto::initialize();
    return crypto::select_aeads();
  }

  uint8_t number_;
  SeededRandom random_;
  Node node_;
  std::deque<Datagram> sent_;
  std::vector<Event> events_;
};

// Node 1 and node 2, each knowing the other, and a clock.
class Pair {
 public:
  explicit Pair(crypto::Suite suite = crypto::Suite::kChaCha20Poly1305, NodeOptions options = {})
      : a(1, options), b(2, options) {
    b_at_a = a.add(2, now(), true, suite);
    a_at_b = b.add(1, now(), false, suite);
  }

  [[nodiscard]] Now now() const { return now_; }
  // Moves time without running timers.
  void skip(Duration duration) {
    now_.monotonic += duration;
    const int64_t nanoseconds = static_cast<int64_t>(now_.wall.nanoseconds) + duration.count();
    now_.wall.seconds += nanoseconds / 1'000'000'000;
    now_.wall.nanoseconds = static_cast<uint32_t>(nanoseconds % 1'000'000'000);
  }
  void step_wall_clock(int64_t seconds) { now_.wall.seconds += seconds; }

  // Delivers everything in both directions until nothing is under way. Inner packets that came out are
  // appended.
  void deliver_all() {
    a.collect(now_);
    b.collect(now_);
    while (!a.sent_nothing() || !b.sent_nothing()) {
      if (!a.sent_nothing()) {
        record(b.receive(endpoint(1), a.take().bytes, now_), at_b);
      } else {
        record(a.receive(endpoint(2), b.take().bytes, now_), at_a);
      }
    }
  }

  // Lets time pass, running every timer at its time; datagrams are delivered at once, or lost when `cut`.
  void run(Duration duration, bool cut = false) {
    const Instant end = now_.monotonic + duration;
    while (true) {
      Instant next = end;
      for (Node* node : {&a.node(), &b.node()}) {
        if (const auto timeout = node->poll_timeout()) next = std::min(next, *timeout);
      }
      if (next > now_.monotonic) skip(next - now_.monotonic);
      a.tick(now_);
      b.tick(now_);
      if (cut) {
        lost += a.sent().size() + b.sent().size();
        for (TestNode* node : {&a, &b}) {
          for (Datagram& datagram : node->sent())
            lost_log.push_back({now_.monotonic, node->number(), datagram.type()});
          node->sent().clear();
        }
      } else {
        deliver_all();
      }
      if (now_.monotonic >= end) return;
    }
  }

  // A full handshake, begun by a packet from a to b.
  void connect() {
    a.send(ip_packet(1, 2), now_);
    deliver_all();
  }

  struct Lost {
    Instant when;
    uint8_t sender;
    uint32_t type;
  };

 private:
  static void record(Result<std::vector<uint8_t>, Drop> result, std::vector<std::vector<uint8_t>>& into) {
    if (result && !result->empty()) into.push_back(std::move(*result));
  }
  // Far from zero, so that "long ago" is a time too.
  Now now_{Instant(1000s), UnixTime{1'700'000'000, 0}};

 public:
  TestNode a, b;
  PeerId b_at_a, a_at_b;
  std::vector<std::vector<uint8_t>> at_a, at_b;
  size_t lost = 0;
  std::vector<Lost> lost_log;
};

}  // namespace vpn::core::testing
