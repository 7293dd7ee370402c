// What a handshake is made of: X25519, BLAKE2s and the key derivation.
#include <benchmark/benchmark.h>

#include <array>

#include "vpn/crypto/blake2s.h"
#include "vpn/crypto/initialize.h"
#include "vpn/crypto/x25519.h"

namespace vpn::crypto {
namespace {

constexpr size_t kInitiationMacedBytes = 116;  // of a 148-byte initiation, what mac1 covers

std::array<uint8_t, 32> some_bytes(uint8_t fill) {
  std::array<uint8_t, 32> bytes;
  bytes.fill(fill);
  return bytes;
}

void x25519_shared(benchmark::State& state) {
  initialize();
  const auto ours = some_bytes(0x42);
  const PublicKey theirs = derive_public_key(some_bytes(0x24));
  SharedSecret shared;
  for (auto _ : state) benchmark::DoNotOptimize(x25519(ours, theirs, shared));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(x25519_shared);

void x25519_public_key(benchmark::State& state) {
  initialize();
  const auto ours = some_bytes(0x42);
  for (auto _ : state) benchmark::DoNotOptimize(derive_public_key(ours));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(x25519_public_key);

void blake2s_mac_of_initiation(benchmark::State& state) {
  const auto key = some_bytes(0x42);
  const std::array<uint8_t, kInitiationMacedBytes> message{};
  for (auto _ : state) benchmark::DoNotOptimize(blake2s_mac16(key, {message}));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(blake2s_mac_of_initiation);

void blake2s_hash_64(benchmark::State& state) {
  const auto half = some_bytes(0x42);
  for (auto _ : state) benchmark::DoNotOptimize(blake2s({half, half}));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(blake2s_hash_64);

void noise_kdf3(benchmark::State& state) {
  const ChainSecret chain(some_bytes(0x42));
  const auto input = some_bytes(0x24);
  for (auto _ : state) benchmark::DoNotOptimize(kdf3(chain, input));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(noise_kdf3);

}  // namespace
}  // namespace vpn::crypto
