// A hub and ten thousand peers: an hour of virtual time, and the memory a peer takes.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>

#include "vpn/sim/world.h"

namespace vpn::sim {
namespace {

using namespace std::chrono_literals;

constexpr Duration kExchangeInterval = 10min;  // longer than a session lives: each exchange needs a handshake

// Every spoke sends a packet each ten minutes, and the hub answers it; links of 20 ms lose 1 %.
void BM_HubForAnHour(benchmark::State& state) {
  const auto spokes = static_cast<uint32_t>(state.range(0));
  for (auto _ : state) {
    World world(1);
    const NodeId hub = world.add_node({.name = "hub"});
    Impairment weather;
    weather.delay = 20ms;
    weather.loss = 0.01;
    for (uint32_t i = 0; i < spokes; ++i) {
      const NodeId spoke = world.add_node({.name = fmt::format("spoke{}", i)});
      world.set_impairment(world.connect(hub, spoke), weather);
      for (Duration when = kExchangeInterval * i / spokes; when < 1h; when += kExchangeInterval) {
        world.schedule(Instant{when}, [=](World& at) { (void)at.send_packet(spoke, hub); });
        world.schedule(Instant{when + 1s}, [=](World& at) { (void)at.send_packet(hub, spoke); });
      }
    }
    world.run_for(1h);

    const auto delivered =
        std::count_if(world.packets().begin(), world.packets().end(),
                      [](const PacketRecord& packet) { return packet.delivered_count == 1; });
    const auto sent = static_cast<double>(world.packets().size());
    if (static_cast<double>(delivered) < 0.95 * sent) state.SkipWithError("too many packets were lost");
    state.counters["packets"] = sent;
    state.counters["delivered"] = static_cast<double>(delivered);
    state.counters["virtual_s_per_s"] = benchmark::Counter(3600, benchmark::Counter::kIsRate);
  }
}
BENCHMARK(BM_HubForAnHour)->Arg(100)->Arg(10'000)->Iterations(1)->Unit(benchmark::kSecond);

size_t allocated_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

core::Endpoint endpoint_of(uint32_t number) {
  return {UdpAddress{World::inner_address(NodeId{number}, IpFamily::kIpv4), 51820, 0}, {}, 0};
}

Secret<32> random_key(SeededRandom& random) {
  Secret<32> key;
  random.fill(key.mutable_view());
  return key;
}

// Takes what `from` has to send to `to`.
void carry(core::Node& from, core::Node& to, const core::Endpoint& source, Now now) {
  while (const auto message = from.poll_transmit(now)) {
    std::vector<uint8_t> datagram(message->datagram.begin(), message->datagram.end());
    (void)to.receive_datagram(source, 0, datagram, now);
  }
  while (from.poll_event()) {
  }
}

// The hub's memory for each idle peer (two allowed prefixes, an endpoint): only configured, and with a
// session that both ends have confirmed.
void BM_MemoryOfAnIdlePeer(benchmark::State& state) {
  constexpr uint32_t kPeers = 10'000;
  const bool has_session = state.range(0) != 0;
  for (auto _ : state) {
    SeededRandom random(1, "nodes"), keys(1, "keys");
    core::Node hub(portable_aeads(), random, {}, Now{});
    hub.set_private_key(random_key(keys), Now{});
    const size_t before = allocated_bytes();
    for (uint32_t i = 0; i < kPeers; ++i) {
      const Now now{Instant{10ms * i}, {}};  // slow enough not to be a flood
      core::Node spoke(portable_aeads(), random, {}, now);
      spoke.set_private_key(random_key(keys), now);
      const auto peer = hub.add_peer(*spoke.public_key(), crypto::Suite::kChaCha20Poly1305, now);
      const auto hub_at_spoke = spoke.add_peer(*hub.public_key(), crypto::Suite::kChaCha20Poly1305, now);
      if (!peer || !hub_at_spoke) return state.SkipWithError("a peer was refused");
      hub.allow(*peer, {World::inner_address(NodeId{i}, IpFamily::kIpv4), 32});
      hub.allow(*peer, {World::inner_address(NodeId{i}, IpFamily::kIpv6), 128});
      hub.set_endpoint(*peer, endpoint_of(i), now);
      if (!has_session) continue;
      spoke.set_endpoint(*hub_at_spoke, endpoint_of(kPeers), now);
      spoke.set_persistent_keepalive(*hub_at_spoke, 1s, now);  // initiates
      carry(spoke, hub, endpoint_of(i), now);
      carry(hub, spoke, endpoint_of(kPeers), now);
      carry(spoke, hub, endpoint_of(i), now);  // confirms
      if (!hub.status(*peer, now.monotonic)->current) return state.SkipWithError("a handshake failed");
    }
    state.counters["bytes_per_peer"] = static_cast<double>(allocated_bytes() - before) / kPeers;
  }
}
BENCHMARK(BM_MemoryOfAnIdlePeer)->ArgName("session")->Arg(0)->Arg(1)->Iterations(1)->Unit(benchmark::kSecond);

}  // namespace
}  // namespace vpn::sim
