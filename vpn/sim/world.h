// World: any number of Nodes on a network of impaired links, in virtual time, all from one seed.
//
//   World world(seed);
//   const NodeId alice = world.add_node({.name = "alice"}), bob = world.add_node({.name = "bob"});
//   const LinkId link = world.connect(alice, bob);
//   world.set_impairment(link, Direction::kBackward, lossy);
//   const PacketId packet = world.send_packet(alice, bob);
//   world.run_for(10s);
//   world.packet(packet).delivered_count  // 1
//
// Time stands still while the caller works and passes in run_…(), event by event: datagrams arriving, timers
// of nodes, scheduled actions; those of one instant in the order in which they were scheduled. Hours of
// protocol take milliseconds.
//
// Reproducible: the same calls under the same seed give the same log byte for byte. Each node draws its
// randomness from a stream of its own, and each packet's fate is keyed by its place (fate.h), so a change in
// one corner of the world shifts nothing elsewhere.
//
// Networks. Every node has one UDP address. A link joins two nodes, and only joined nodes reach each other;
// who is meant by a datagram is found by its destination address at the time it is sent, and checked again
// when it arrives. A node may sit behind a NAT of its own: then the others see the NAT's address and port.
//
// Misuse (an unknown node or link, an impairment out of range) throws std::out_of_range or
// std::invalid_argument.
#pragma once

#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "vpn/core/node.h"
#include "vpn/sim/event_log.h"
#include "vpn/sim/fate.h"
#include "vpn/sim/seeded_random.h"

namespace vpn::sim {

// Numbers in the order of creation, from 0.
struct NodeId {
  uint32_t value = 0;
  friend constexpr auto operator<=>(NodeId, NodeId) = default;
};
struct LinkId {
  uint32_t value = 0;
  friend constexpr auto operator<=>(LinkId, LinkId) = default;
};
using PacketId = uint64_t;

// What the simulator's nodes encrypt with: libsodium, and OpenSSL for AES where libsodium has none. The bytes
// on the wire do not depend on the backend, but the memory and the self-tests of a thousand nodes do.
[[nodiscard]] crypto::AeadSet portable_aeads();

struct NodeSetup {
  std::string name;
  core::NodeOptions options{};
  Duration clock_offset{0};     // of its wall clock at the start
  int32_t clock_drift_ppm = 0;  // how much faster than true time its wall clock runs
};

// How the two ends of a link are configured as each other's peers.
struct TunnelSetup {
  bool configure = true;  // false: a bare link, the caller adds the peers
  crypto::Suite suite = crypto::Suite::kChaCha20Poly1305;
  bool preshared_key = false;      // a random one, the same at both ends
  bool first_knows_second = true;  // has its endpoint from the start
  bool second_knows_first = true;
  std::chrono::seconds first_keepalive{0};
  std::chrono::seconds second_keepalive{0};
  core::RekeyLimits rekey{};  // of both
};

// A network address translator in front of one node, with endpoint-independent mapping.
struct NatSetup {
  Duration mapping_timeout = std::chrono::minutes(5);  // of silence, outbound
  bool restricted = false;  // lets in only whom the node has written to since the mapping began
};

// One inner packet handed to send_packet().
struct PacketRecord {
  NodeId from, to;
  Instant sent_at{};
  size_t length_bytes = 0;
  std::optional<core::Drop> refused{};  // by the sender's node
  uint32_t delivered_count = 0;
  Instant delivered_at{};  // the first time
};

// A datagram a node gives to the network.
struct TransmitSeen {
  Instant when;
  NodeId node;
  UdpAddress to;
  std::optional<PeerId> peer;
  MessageClass message;
  BytesView datagram;
};

// A datagram that reaches a node.
struct ReceiveSeen {
  Instant when;
  NodeId node;
  UdpAddress from;
  MessageClass message;
  BytesView datagram;              // as it arrived, before decryption
  std::optional<core::Drop> drop;  // empty: accepted
  BytesView packet;                // what the node delivered, if anything
  std::optional<PeerId> peer;
};

// Watches a world. Calls come in order, while the node concerned is not in use: status() and the like may be
// called.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_transmit(const TransmitSeen&) {}
  // Before the node gets it: no result yet.
  virtual void on_arrival(const ReceiveSeen&) {}
  // With the result, before the node's answers, if any, go out: they follow as on_transmit(), then
  // on_receive_done().
  virtual void on_receive(const ReceiveSeen&) {}
  virtual void on_receive_done(const ReceiveSeen&) {}
  virtual void on_event(NodeId, const core::Event&) {}
  virtual void on_timeout(NodeId, Instant) {}
  virtual void on_restart(NodeId) {}
};

// The name of one decision about one packet that was not simply "arrives after the link's delay".
struct DecisionKey {
  LinkId link;
  Direction direction{};
  MessageClass message{};
  uint64_t ordinal = 0;  // of its class in that direction, from 0
  friend auto operator<=>(const DecisionKey&, const DecisionKey&) = default;
};

class World {
 public:
  explicit World(uint64_t seed);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  // ── Building ──
  // The
  // node gets a key pair, the UDP address 198.18.0.0 + number + 1 port 51820, and the inner addresses of
  // inner_address(). Names must differ.
  NodeId add_node(const NodeSetup& setup);
  // Joins two nodes both ways; each end allows the other's inner addresses. The link is named "FIRST-SECOND",
  // which is what its fates are keyed by. One link a pair.
  LinkId connect(NodeId first, NodeId second, const TunnelSetup& tunnel = {});

  // ── Faults ──
  // Holds for datagrams sent from now on.
  void set_impairment(LinkId link, Direction direction, const Impairment& impairment);
  void set_impairment(LinkId link, const Impairment& both_directions);
  // A partition: nothing passes in this direction while it is down. What is under way still arrives.
  void set_up(LinkId link, Direction direction, bool up);
  // Puts an adversary between a link's two ends. It is asked about every datagram before the weather is;
  // nothing set: all pass. `sender` is the end it came from. It returns nothing to let the datagram pass, or
  // what goes on instead, each after a time of its own; an empty list drops it. It must not call the world.
  struct Onward {
    Duration delay{0};
    std::vector<uint8_t> bytes;
  };
  using Interceptor =
      std::function<std::optional<std::vector<Onward>>(NodeId sender, MessageClass message, BytesView bytes)>;
  // Lets `interceptor` decide about every datagram on the link; an empty one ends that.
  void set_interceptor(LinkId link, Interceptor interceptor);
  // The node moves to another address (and port); what is under way to the old one is lost.
  void change_address(NodeId node);
  void put_behind_nat(NodeId node, const NatSetup& nat = {});
  // The NAT forgets its mapping: the next datagram out gets another port, and what comes to the old one is
  // lost.
  void rebind_nat(NodeId node);
  // The node's wall clock jumps. Its monotonic clock does not.
  void step_clock(NodeId node, Duration by);
  void set_clock_drift(NodeId node, int32_t ppm);
  // The process dies and comes back with its configuration (and its greatest timestamp), all sessions lost.
  void restart(NodeId node);

  // ── Traffic ──
  // Sends one UDP packet of `length_bytes` (at least 64) within IPv4 or IPv6 from node to node through the
  // tunnel. Its content follows from its id and length.
  PacketId send_packet(NodeId from, NodeId to, size_t length_bytes = 100, IpFamily family = IpFamily::kIpv4);
  // Hands any bytes to the node as an outgoing inner packet.
  void send_raw_packet(NodeId from, BytesView ip_packet);
  // A datagram from nowhere arrives at the node after `delay`, as if `from` had sent it: replays, forgeries,
  // floods.
  void inject(NodeId to, const UdpAddress& from, BytesView datagram, Duration delay = Duration{0});

  // ── Time ──
  [[nodiscard]] Instant now() const noexcept { return now_; }  // starts at 0
  void run_for(Duration duration) { run_until(now_ + duration); }
  void run_until(Instant when);
  // Runs the action at that time (not before now), in the midst of a run_…().
  void schedule(Instant when, std::function<void(World&)> action);

  // ── Reading ──
  [[nodiscard]] uint64_t seed() const noexcept { return seed_; }
  [[nodiscard]] size_t node_count() const noexcept { return hosts_.size(); }
  [[nodiscard]] size_t link_count() const noexcept { return links_.size(); }
  [[nodiscard]] core::Node& node(NodeId id) { return *host(id).node; }
  [[nodiscard]] const std::string& node_name(NodeId id) const { return host(id).setup.name; }
  [[nodiscard]] const PublicKey& public_key(NodeId id) const { return host(id).public_key; }
  [[nodiscard]] std::pair<NodeId, NodeId> link_ends(LinkId id) const;
  [[nodiscard]] const std::string& link_name(LinkId id) const { return link(id).name; }
  [[nodiscard]] std::optional<LinkId> link_between(NodeId a, NodeId b) const;
  // `of` as `at` knows it.
  [[nodiscard]] std::optional<PeerId> peer_id(NodeId at, NodeId of) const;
  // Where the others see the node now; behind a NAT without a mapping: nowhere.
  [[nodiscard]] std::optional<UdpAddress> public_address(NodeId id) const;
  [[nodiscard]] static IpAddress inner_address(NodeId id, IpFamily family);
  [[nodiscard]] Now node_time(NodeId id) const;

  [[nodiscard]] const PacketRecord& packet(PacketId id) const { return packets_.at(id); }
  [[nodiscard]] const std::deque<PacketRecord>& packets() const noexcept { return packets_; }
  // The id of a delivered packet, if it is one that was sent to this node, whole and unaltered.
  [[nodiscard]] std::optional<PacketId> identify(NodeId at, BytesView ip_packet) const;

  [[nodiscard]] EventLog& log() noexcept { return log_; }
  // They are called in the order they were added. An observer must outlive the world or be removed.
  void add_observer(Observer& observer) { observers_.push_back(&observer); }
  void remove_observer(Observer& observer) noexcept { std::erase(observers_, &observer); }

  // ── Shrinking ──
  // Every decision so far that was not simply "arrives after the link's delay".
  [[nodiscard]] const std::vector<std::pair<DecisionKey, Fate>>& decisions() const noexcept {
    return decisions_;
  }
  // From now on only these decisions hold; every other packet arrives after the link's delay.
  void keep_only(std::set<DecisionKey> decisions) { kept_ = std::move(decisions); }

 private:
  struct Nat {
    NatSetup setup;
    IpAddress public_address;
    uint16_t port = 0;  // 0: no mapping
    Instant last_outbound{};
    std::set<UdpAddress> contacted{};
  };
  struct Host {
    Host(const NodeSetup& given, uint64_t seed) : setup(given), random(seed, "node " + given.name) {}

    NodeSetup setup;
    SeededRandom random;
    Secret<32> private_key;
    PublicKey public_key;
    std::unique_ptr<core::Node> node;
    UdpAddress address;
    std::optional<Nat> nat;
    uint32_t address_changes = 0;
    Duration wall_offset{0};  // wall − true time, at drift_since
    Instant drift_since{};
    int64_t drift_ppm = 0;
    std::optional<Instant> timer_at;  // when the earliest of its timer events is due
    Instant last_timer{};             // guards against timers that stay due for ever
    uint32_t timers_this_instant = 0;
    std::vector<LinkId> links;
  };
  struct LinkState {
    std::string name;
    NodeId first, second;
    TunnelSetup tunnel;
    Secret<32> preshared_key;
    struct Way {
      LinkFates fates;
      Impairment impairment;
      bool up = true;
      std::deque<Instant> departures{};  // of what waits for the rate
    };
    Way forward, backward;
    Interceptor interceptor{};
    [[nodiscard]] Way& way(Direction direction) {
      return direction == Direction::kForward ? forward : backward;
    }
  };
  struct Datagram {
    NodeId to;
    UdpAddress source, destination;
    uint8_t tos = 0;
    std::vector<uint8_t> bytes;
  };
  enum class What : uint8_t { kDatagram, kTimer, kAction };
  struct Pending {
    Instant when;
    uint64_t sequence;  // ties are broken by it
    What what;
    uint32_t index;  // of the datagram or action slot, or of the node
    friend bool operator>(const Pending& a, const Pending& b) noexcept {
      return std::pair(a.when, a.sequence) > std::pair(b.when, b.sequence);
    }
  };

  [[nodiscard]] Host& host(NodeId id) { return *hosts_.at(id.value); }
  [[nodiscard]] const Host& host(NodeId id) const { return *hosts_.at(id.value); }
  [[nodiscard]] LinkState& link(LinkId id) { return *links_.at(id.value); }
  [[nodiscard]] const LinkState& link(LinkId id) const { return *links_.at(id.value); }

  void push(Instant when, What what, uint32_t index);
  void start_node(NodeId id);
  void configure_peer(NodeId at, NodeId of, const LinkState& link);
  // Where datagrams from the host come from as others see it; makes or refreshes the NAT's mapping.
  UdpAddress outbound_address(Host& from, const UdpAddress& to);
  // The NAT's mapping, unless there is none or it timed out.
  [[nodiscard]] bool has_mapping(const Host& host) const;
  void drain(NodeId id);
  void transmit(NodeId id, const core::Transmit& transmit);
  // Puts a datagram on its way, at the mercy of the adversary and of the link.
  void carry(LinkId link, Direction direction, MessageClass message, Datagram datagram);
  // `sender` is whom the log names.
  void carry_on(LinkId link, Direction direction, std::string_view sender, Datagram datagram);
  void arrive(Datagram datagram);
  void launch(Datagram datagram, Instant arrival);
  void deliver(NodeId id, BytesView packet);
  void note(std::string_view text) { log_.add(now_, text); }

  uint64_t seed_;
  Instant now_{};
  uint64_t next_sequence_ = 0;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::vector<std::unique_ptr<LinkState>> links_;
  std::map<std::string, NodeId, std::less<>> names_;
  std::map<UdpAddress, NodeId> addresses_;
  std::map<std::pair<NodeId, NodeId>, LinkId> links_by_ends_;
  std::priority_queue<Pending, std::vector<Pending>, std::greater<>> pending_;
  std::vector<Datagram> datagrams_;  // slots
  std::vector<uint32_t> free_datagrams_;
  std::vector<std::function<void(World&)>> actions_;
  std::vector<uint8_t> seal_buffer_;
  std::deque<PacketRecord> packets_;
  EventLog log_;
  std::vector<Observer*> observers_;
  std::vector<std::pair<DecisionKey, Fate>> decisions_;
  std::optional<std::set<DecisionKey>> kept_;
};

}  // namespace vpn::sim
