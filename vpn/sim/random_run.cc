#include "vpn/sim/random_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <utility>

#include "vpn/sim/adversary.h"

namespace vpn::sim {
namespace {

using namespace std::chrono_literals;

constexpr Duration kRecoveryTime = 15s;  // what the protocol is held to
constexpr Duration kRestartGrace = 1s;   // jitter and a handshake more, where a node restarted (see below)
constexpr Duration kSteadyTime = 5s;     // in which nothing may be lost any more
constexpr Duration kCalmDelay = 20ms;    // of every link, once the faults have stopped
constexpr Duration kLastExchange =
    60s;  // after the traffic has stopped: what may still be sent is sent by then

struct Tunnel {
  NodeId a, b;
  LinkId link;
};

class Run {
 public:
  Run(uint64_t seed, const RunSelection& selection, bool keep_log);
  RunResult finish();

 private:
  using Action = std::function<void(World&)>;

  void build();
  void plan_steps();
  void plan_traffic(const Tunnel& tunnel);
  void plan_faults();
  void recover();
  void fall_silent();
  [[nodiscard]] Impairment random_weather();
  // Adds a step of the schedule; it happens if it is selected.
  void step(Instant when, std::string what, Action action);
  [[nodiscard]] Instant any_time() {
    return Instant{Duration{
        static_cast<int64_t>(random_.below(static_cast<uint64_t>(faults_end_.time_since_epoch().count())))}};
  }
  template <typename T>
  const T& any_of(const std::vector<T>& items) {
    return items[random_.below(items.size())];
  }

  const RunSelection& selection_;
  World world_;
  Invariants invariants_;
  Adversary adversary_;
  SeededRandom random_;
  Instant faults_end_;
  std::vector<NodeId> nodes_;
  std::vector<NodeId> movers_;  // may change their address
  std::vector<NodeId> natted_;
  std::vector<Tunnel> tunnels_;
  std::vector<StepRecord> steps_;
  size_t next_step_ = 0;
  bool restarted_ = false;
};

Run::Run(uint64_t seed, const RunSelection& selection, bool keep_log)
    : selection_(selection), world_(seed), invariants_(world_), adversary_(world_), random_(seed, "plan") {
  world_.log().keep_lines(keep_log);
  if (selection.fates) world_.keep_only(*selection.fates);
}

void Run::build() {
  faults_end_ = Instant{std::chrono::seconds(random_.between(20, random_.chance(0.25) ? 400 : 120))};
  const size_t spokes = random_.chance(0.7) ? 1 : random_.between(2, 3);
  for (size_t i = 0; i <= spokes; ++i) {
    NodeSetup setup{.name = i == 0 ? "hub" : fmt::format("spoke{}", i)};
    if (random_.chance(0.5))
      setup.clock_offset = std::chrono::seconds(random_.between(0, 200'000)) - 100'000s;
    if (random_.chance(0.5)) setup.clock_drift_ppm = static_cast<int32_t>(random_.between(0, 1000)) - 500;
    if (random_.chance(0.2)) setup.options.handshakes_per_second = 20;
    nodes_.push_back(world_.add_node(setup));
    if (i == 0) continue;
    if (random_.chance(0.3)) {
      world_.put_behind_nat(nodes_.back(), {.mapping_timeout = std::chrono::seconds(random_.between(20, 300)),
                                            .restricted = random_.chance(0.5)});
      natted_.push_back(nodes_.back());
    }
    movers_.push_back(nodes_.back());
  }
  for (size_t i = 1; i <= spokes; ++i) {
    TunnelSetup tunnel;
    tunnel.suite = random_.chance(0.3) ? crypto::Suite::kAes256Gcm : crypto::Suite::kChaCha20Poly1305;
    tunnel.preshared_key = random_.chance(0.5);
    tunnel.first_knows_second = random_.chance(0.7);
    if (random_.chance(0.15)) tunnel.first_keepalive = 25s;
    if (random_.chance(0.25)) tunnel.second_keepalive = 25s;
    if (random_.chance(0.2)) tunnel.rekey.after_time = std::chrono::seconds(random_.between(10, 120));
    if (random_.chance(0.2)) tunnel.rekey.after_bytes = random_.between(2'000, 20'000);
    if (random_.chance(0.2)) tunnel.rekey.after_messages = random_.between(5, 50);
    const LinkId link = world_.connect(nodes_[0], nodes_[i], tunnel);
    tunnels_.push_back({nodes_[0], nodes_[i], link});
    world_.set_impairment(link, random_weather());
  }
}

Impairment Run::random_weather() {
  Impairment weather;
  weather.delay = std::chrono::microseconds(random_.between(100, random_.chance(0.1) ? 1'500'000 : 100'000));
  if (random_.chance(0.5)) weather.jitter = weather.delay * static_cast<int64_t>(random_.below(100)) / 100;
  const auto share = [&](double most) { return most * static_cast<double>(random_.below(1000)) / 1000; };
  if (random_.chance(0.6)) weather.loss = share(random_.chance(0.2) ? 0.9 : 0.3);
  if (random_.chance(0.3)) weather.burst = {share(0.2), 0.05 + share(0.9), 0, 1};
  if (random_.chance(0.4)) weather.reorder = share(0.5);
  if (random_.chance(0.4)) weather.reorder_hold = std::chrono::milliseconds(random_.between(1, 3000));
  if (random_.chance(0.4)) weather.duplicate = share(0.5);
  if (random_.chance(0.4)) weather.corrupt = share(0.3);
  if (random_.chance(0.1)) weather.mtu_bytes = static_cast<uint32_t>(random_.between(100, 1500));
  if (random_.chance(0.1)) weather.rate_bits_per_second = random_.between(50'000, 10'000'000);
  if (random_.chance(0.1)) {
    weather.drops.push_back({static_cast<MessageClass>(random_.below(5)), 1, random_.between(1, 3)});
  }
  return weather;
}

void Run::step(Instant when, std::string what, Action action) {
  const size_t number = next_step_++;
  if (selection_.steps && !selection_.steps->contains(number)) return;
  steps_.push_back({number, when, std::move(what)});
  world_.schedule(when, std::move(action));
}

void Run::plan_traffic(const Tunnel& tunnel) {
  const uint64_t bursts = random_.between(1, 12);
  for (uint64_t i = 0; i < bursts; ++i) {
    const bool forward = random_.chance(0.5);
    const NodeId from = forward ? tunnel.a : tunnel.b, to = forward ? tunnel.b : tunnel.a;
    Instant when = any_time();
    const uint64_t count = random_.between(1, random_.chance(0.1) ? 150 : 12);
    const Duration spacing =
        std::chrono::milliseconds(random_.chance(0.5) ? random_.between(0, 5) : random_.between(50, 2000));
    for (uint64_t k = 0; k < count && when < faults_end_; ++k, when += spacing) {
      const size_t length = random_.between(64, random_.chance(0.1) ? 1420 : 200);
      const IpFamily family = random_.chance(0.3) ? IpFamily::kIpv6 : IpFamily::kIpv4;
      step(when, fmt::format("{} sends {} bytes to {}", world_.node_name(from), length, world_.node_name(to)),
           [=](World& world) { (void)world.send_packet(from, to, length, family); });
    }
  }
}

void Run::plan_faults() {
  const uint64_t count = random_.between(0, 25);
  for (uint64_t i = 0; i < count; ++i) {
    const Instant when = any_time();
    const Tunnel& tunnel = any_of(tunnels_);
    const LinkId link = tunnel.link;
    const Direction direction = random_.chance(0.5) ? Direction::kForward : Direction::kBackward;
    const uint64_t draw = random_.next();
    const uint64_t kind = random_.below(100);
    if (kind < 15) {
      step(when, world_.link_name(link) + " gets other weather",
           [=, weather = random_weather()](World& world) { world.set_impairment(link, direction, weather); });
    } else if (kind < 25) {
      const Duration length = std::chrono::milliseconds(random_.between(100, 60'000));
      step(when, world_.link_name(link) + " goes down one way", [=](World& world) {
        world.set_up(link, direction, false);
        world.schedule(world.now() + length, [=](World& later) { later.set_up(link, direction, true); });
      });
    } else if (kind < 32) {
      const Duration length = std::chrono::milliseconds(random_.between(100, 200'000));
      step(when, world_.link_name(link) + " goes down", [=](World& world) {
        for (const Direction way : {Direction::kForward, Direction::kBackward}) {
          world.set_up(link, way, false);
          world.schedule(world.now() + length, [=](World& later) { later.set_up(link, way, true); });
        }
      });
    } else if (kind < 40) {
      const NodeId mover = any_of(movers_);
      step(when, world_.node_name(mover) + " moves", [=](World& world) { world.change_address(mover); });
    } else if (kind < 46) {
      if (natted_.empty()) continue;
      const NodeId hidden = any_of(natted_);
      step(when, "the NAT forgets " + world_.node_name(hidden),
           [=](World& world) { world.rebind_nat(hidden); });
    } else if (kind < 54) {
      const NodeId node = any_of(nodes_);
      const Duration by =
          draw % 8 == 0 ? Duration{24h * 365} : std::chrono::seconds(draw % 200'000) - Duration{100'000s};
      step(when, fmt::format("the clock of {} steps by {} s", world_.node_name(node), by / 1s),
           [=](World& world) { world.step_clock(node, by); });
    } else if (kind < 57) {
      const NodeId node = any_of(nodes_);
      step(when, world_.node_name(node) + " restarts", [this, node](World& world) {
        world.restart(node);
        restarted_ = true;
      });
    } else if (kind < 70) {
      step(when, "replay", [this, draw](World&) { adversary_.replay(draw); });
    } else if (kind < 77) {
      step(when, "altered message", [this, draw](World&) { adversary_.alter(draw); });
    } else if (kind < 81) {
      step(when, "truncated message", [this, draw](World&) { adversary_.truncate(draw); });
    } else if (kind < 84) {
      step(when, "extended message", [this, draw](World&) { adversary_.extend(draw); });
    } else if (kind < 88) {
      step(when, "spliced message", [this, draw](World&) { adversary_.splice(draw); });
    } else if (kind < 91) {
      step(when, "misdirected message", [this, draw](World&) { adversary_.misdirect(draw); });
    } else if (kind < 98) {
      step(when, "garbage", [this, draw](World&) { adversary_.garbage(draw); });
    } else {
      const size_t flood = random_.chance(0.1) ? 600 : 20;
      step(when, "flood", [this, draw, flood](World&) { adversary_.flood(draw, flood); });
    }
  }
}

void Run::recover() {
  for (const Tunnel& tunnel : tunnels_) {
    for (const Direction way : {Direction::kForward, Direction::kBackward})
      world_.set_up(tunnel.link, way, true);
    world_.set_impairment(tunnel.link, {.delay = kCalmDelay});
  }
  constexpr Duration kSpacing = 250ms;
  // Of a node that restarted and does not know where its peer is, the peer learns only by getting no answer:
  // 15 s after its first packet, and a jitter, and a handshake. No other fault takes so long.
  const Instant up_by = faults_end_ + kRecoveryTime + (restarted_ ? kRestartGrace : Duration{0});
  std::vector<PacketId> sent;
  for (Instant when = faults_end_; when < up_by + kSteadyTime; when += kSpacing) {
    world_.run_until(when);
    for (const Tunnel& tunnel : tunnels_) {
      sent.push_back(world_.send_packet(tunnel.a, tunnel.b));
      sent.push_back(world_.send_packet(tunnel.b, tunnel.a));
    }
  }
  world_.run_for(1s);
  for (const Tunnel& tunnel : tunnels_) {
    for (const bool forward : {true, false}) {
      const NodeId from = forward ? tunnel.a : tunnel.b, to = forward ? tunnel.b : tunnel.a;
      const auto is_ours = [&](PacketId id) {
        return world_.packet(id).from == from && world_.packet(id).to == to;
      };
      const bool is_up = std::any_of(sent.begin(), sent.end(), [&](PacketId id) {
        return is_ours(id) && world_.packet(id).delivered_count > 0 &&
               world_.packet(id).delivered_at <= up_by;
      });
      const std::string way = world_.node_name(from) + " to " + world_.node_name(to);
      if (!is_up) invariants_.report("recovery", way + ": nothing arrived in time after the faults stopped");
      for (const PacketId id : sent) {
        if (is_up && is_ours(id) && world_.packet(id).sent_at >= up_by &&
            world_.packet(id).delivered_count == 0) {
          invariants_.report("steady_loss", fmt::format("{}: packet {} was lost without a fault", way, id));
        }
      }
    }
  }
}

void Run::fall_silent() {
  for (const Tunnel& tunnel : tunnels_) {
    for (const auto& [at, of] : {std::pair(tunnel.a, tunnel.b), std::pair(tunnel.b, tunnel.a)}) {
      world_.node(at).set_persistent_keepalive(*world_.peer_id(at, of), 0s, world_.node_time(at));
    }
  }
  world_.run_for(kLastExchange);
  invariants_.expect_silence(true);
  world_.run_for(kKeyErasureTime + 1s);
  invariants_.check_overdue();
}

std::string describe(const Fate& fate) {
  if (fate.is_lost()) return "lost";
  return fmt::format("arrives after {} ns{}{}", fate.delay.count(), fate.corrupt ? ", a bit flipped" : "",
                     fate.duplicate_delay ? ", twice" : "");
}

RunResult Run::finish() {
  build();
  for (const Tunnel& tunnel : tunnels_) plan_traffic(tunnel);
  plan_faults();
  world_.run_until(faults_end_);
  recover();
  fall_silent();

  RunResult result;
  result.violations = invariants_.violations();
  result.log_hash = world_.log().hash();
  result.log = world_.log().lines();
  result.steps = std::move(steps_);
  for (const auto& [key, fate] : world_.decisions())
    result.fates.push_back({key, fate_name(key), describe(fate)});
  result.packets_sent = world_.packets().size();
  for (const PacketRecord& packet : world_.packets()) result.packets_delivered += packet.delivered_count;
  return result;
}

}  // namespace

RunResult random_run(uint64_t seed, const RunSelection& selection, bool keep_log) {
  return Run(seed, selection, keep_log).finish();
}

std::string fate_name(const DecisionKey& key) {
  return fmt::format("{}{}{}#{}", key.link.value, key.direction == Direction::kForward ? '>' : '<',
                     message_class_name(key.message), key.ordinal);
}

std::optional<DecisionKey> parse_fate(std::string_view name) {
  const size_t way = name.find_first_of("<>"), hash = name.find('#');
  if (way == std::string_view::npos || hash == std::string_view::npos || hash < way) return std::nullopt;
  DecisionKey key;
  const auto number = [](std::string_view text, auto& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size();
  };
  const auto message = parse_message_class(name.substr(way + 1, hash - way - 1));
  if (!message || !number(name.substr(0, way), key.link.value) ||
      !number(name.substr(hash + 1), key.ordinal)) {
    return std::nullopt;
  }
  key.direction = name[way] == '>' ? Direction::kForward : Direction::kBackward;
  key.message = *message;
  return key;
}

}  // namespace vpn::sim
