// Benchmarks of the core, for `make bench-core`: handshakes, the replay check, look-ups, whole packets,
// memory a peer.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <random>

#include "vpn/core/node_test_support.h"
#include "vpn/core/prefix_table.h"
#include "vpn/core/replay_window.h"

namespace vpn::core {
namespace {

using namespace testing;

// The responder's whole work for one handshake: initiation in, response out (four scalar multiplications).
void responder_handshake(benchmark::State& state) {
  Pair pair;
  for (auto _ : state) {
    state.PauseTiming();
    pair.a.node().set_private_key(private_key(1), pair.now());  // forgets that a handshake was just sent
    pair.skip(30ms);
    pair.a.send(ip_packet(1, 2), pair.now());
    std::vector<uint8_t> initiation = pair.a.take().bytes;
    pair.a.sent().clear();
    const Now now = pair.now();
    state.ResumeTiming();
    if (!pair.b.receive(endpoint(1), std::move(initiation), now))
      state.SkipWithError("the initiation was dropped");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(responder_handshake);

void replay_check(benchmark::State& state) {
  ReplayWindow window;
  Counter counter = 0;
  for (auto _ : state) benchmark::DoNotOptimize(window.accept(counter++));
}
BENCHMARK(replay_check);

void replay_check_reordered(benchmark::State& state) {
  ReplayWindow window;
  Counter counter = 64;
  for (auto _ : state) benchmark::DoNotOptimize(window.accept(counter++ ^ 0x15));
}
BENCHMARK(replay_check_reordered);

void prefix_lookup(benchmark::State& state) {
  const bool ipv4 = state.range(1) == 4;
  std::mt19937_64 random(7);
  const auto random_address = [&] {
    std::array<uint8_t, 16> bytes;
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    return ipv4 ? IpAddress::ipv4(std::span(bytes).first<4>()) : IpAddress::ipv6(bytes);
  };
  PrefixTable table;
  std::vector<IpAddress> wanted;
  for (int64_t count = 0; count < state.range(0); ++count) {
    const IpAddress address = random_address();
    table.insert(IpPrefix{address, static_cast<uint8_t>(ipv4 ? 16 + random() % 17 : 32 + random() % 97)},
                 PeerId{1});
    wanted.push_back(address);
  }
  size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(table.find(wanted[next]));
    next = next + 1 == wanted.size() ? 0 : next + 1;
  }
}
BENCHMARK(prefix_lookup)->Args({1, 4})->Args({100, 4})->Args({10'000, 4})->Args({10'000, 6});

void send_one_packet(benchmark::State& state) {
  Pair pair(state.range(1) == 0 ? crypto::Suite::kChaCha20Poly1305 : crypto::Suite::kAes256Gcm);
  pair.connect();
  const std::vector<uint8_t> packet = ip_packet(1, 2, static_cast<size_t>(state.range(0)));
  std::vector<uint8_t> out(pair.a.node().sealed_bytes(packet.size()));
  for (auto _ : state) benchmark::DoNotOptimize(pair.a.node().send_packet(packet, out, pair.now()));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(send_one_packet)->ArgsProduct({{64, 512, 1420}, {0, 1}});

void receive_one_packet(benchmark::State& state) {
  Pair pair(state.range(1) == 0 ? crypto::Suite::kChaCha20Poly1305 : crypto::Suite::kAes256Gcm);
  pair.connect();
  const std::vector<uint8_t> packet = ip_packet(1, 2, static_cast<size_t>(state.range(0)));
  constexpr size_t kBatch = 512;
  std::vector<std::vector<uint8_t>> datagrams(
      kBatch, std::vector<uint8_t>(pair.a.node().sealed_bytes(packet.size())));
  size_t next = kBatch;
  for (auto _ : state) {
    if (next == kBatch) {
      state.PauseTiming();
      for (auto& datagram : datagrams)
        benchmark::DoNotOptimize(pair.a.node().send_packet(packet, datagram, pair.now()));
      next = 0;
      state.ResumeTiming();
    }
    const auto received = pair.b.node().receive_datagram(endpoint(1), 0, datagrams[next++], pair.now());
    if (!received) state.SkipWithError("a packet was dropped");
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(receive_one_packet)->ArgsProduct({{64, 512, 1420}, {0, 1}});

// Heap bytes of a configured peer without a session.
void memory_of_an_idle_peer(benchmark::State& state) {
  constexpr int kPeers = 10'000;
  double bytes = 0;
  for (auto _ : state) {
    TestNode node(1);
    const size_t before = mallinfo2().uordblks;
    for (int number = 0; number < kPeers; ++number) {
      PublicKey key;
      store_le(key.bytes.data(), static_cast<uint32_t>(number + 1));
      key.bytes[31] = 1;
      const PeerId peer = *node.node().add_peer(key, crypto::Suite::kChaCha20Poly1305, Now{});
      std::array<uint8_t, 4> address;
      store_be(address.data(), 0x0a000000u + static_cast<uint32_t>(number));
      node.node().allow(peer, IpPrefix{IpAddress::ipv4(address), 32});
    }
    bytes = static_cast<double>(mallinfo2().uordblks - before) / kPeers;
  }
  state.counters["bytes_per_peer"] = bytes;
}
BENCHMARK(memory_of_an_idle_peer)->Iterations(1);

}  // namespace
}  // namespace vpn::core
