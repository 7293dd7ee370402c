// Sealing and opening, per packet: every backend and suite, at the sizes of a small, a middling and a full
// packet, one packet a call and in batches. items_per_second is packets, bytes_per_second is plaintext.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "vpn/crypto/aead.h"

namespace vpn::crypto {
namespace {

// The packets go round in memory that the second-level cache holds, as a daemon's buffers do.
constexpr size_t kPacketCount = 64;

struct Packets {
  Packets(Aead& aead, size_t length)
      : plain_bytes(length), buffers(kPacketCount), key(aead.make_key(secret())) {
    for (size_t index = 0; index < kPacketCount; ++index) {
      buffers[index].assign(length + kTagBytes, static_cast<uint8_t>(index));
      aead.seal(*key, index, {}, BytesView(buffers[index]).first(length), buffers[index]);
    }
  }
  [[nodiscard]] static AeadSecret secret() {
    AeadSecret result;
    for (uint8_t& byte : result.mutable_view()) byte = 0x5a;
    return result;
  }

  size_t plain_bytes;
  std::vector<std::vector<uint8_t>> buffers;
  std::unique_ptr<AeadKey> key;
};

void count(benchmark::State& state, size_t packets_per_iteration, size_t length) {
  const auto packets = state.iterations() * static_cast<int64_t>(packets_per_iteration);
  state.SetItemsProcessed(packets);
  state.SetBytesProcessed(packets * static_cast<int64_t>(length));
}

void seal(benchmark::State& state, Backend backend, Suite suite, size_t length) {
  const auto aead = make_aead(backend, suite);
  Packets packets(*aead, length);
  Counter counter = 0;
  for (auto _ : state) {
    std::vector<uint8_t>& buffer = packets.buffers[counter % kPacketCount];
    aead->seal(*packets.key, counter++, {}, BytesView(buffer).first(length), buffer);
  }
  count(state, 1, length);
}

// Opens from the sealed packets into a buffer of its own, so that each is authentic every time.
void open(benchmark::State& state, Backend backend, Suite suite, size_t length) {
  const auto aead = make_aead(backend, suite);
  Packets packets(*aead, length);
  std::vector<uint8_t> plain(length);
  size_t index = 0;
  for (auto _ : state) {
    if (!aead->open(*packets.key, index, {}, packets.buffers[index], plain))
      state.SkipWithError("not authentic");
    index = (index + 1) % kPacketCount;
  }
  count(state, 1, length);
}

void seal_batch(benchmark::State& state, Backend backend, Suite suite, size_t length, size_t batch) {
  const auto aead = make_aead(backend, suite);
  Packets packets(*aead, length);
  std::vector<SealJob> jobs(batch);
  for (size_t index = 0; index < batch; ++index) {
    jobs[index].plain = BytesView(packets.buffers[index]).first(length);
    jobs[index].sealed = packets.buffers[index];
  }
  Counter counter = 0;
  for (auto _ : state) {
    for (SealJob& job : jobs) job.counter = counter++;
    aead->seal_batch(*packets.key, jobs);
  }
  count(state, batch, length);
}

void open_batch(benchmark::State& state, Backend backend, Suite suite, size_t length, size_t batch) {
  const auto aead = make_aead(backend, suite);
  Packets packets(*aead, length);
  std::vector<std::vector<uint8_t>> plain(batch, std::vector<uint8_t>(length));
  std::vector<OpenJob> jobs(batch);
  for (size_t index = 0; index < batch; ++index) {
    jobs[index].counter = index;
    jobs[index].sealed = packets.buffers[index];
    jobs[index].plain = plain[index];
  }
  for (auto _ : state) {
    aead->open_batch(*packets.key, jobs);
    for (const OpenJob& job : jobs) {
      if (!job.authentic) state.SkipWithError("not authentic");
    }
  }
  count(state, batch, length);
}

void make_key(benchmark::State& state, Backend backend, Suite suite) {
  const auto aead = make_aead(backend, suite);
  const AeadSecret secret = Packets::secret();
  for (auto _ : state) benchmark::DoNotOptimize(aead->make_key(secret));
}

void select_at_start(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(select_aeads());
}
BENCHMARK(select_at_start)->Unit(benchmark::kMicrosecond);

// Registered by name, as which backends exist is known only when it runs.
const bool kRegistered = [] {
  for (const Suite suite : {Suite::kChaCha20Poly1305, Suite::kAes256Gcm}) {
    for (const Backend backend : {Backend::kIpsecMb, Backend::kLibsodium, Backend::kOpenssl}) {
      const auto aead = make_aead(backend, suite);
      if (aead == nullptr) continue;
      const std::string name = std::string(suite_name(suite)) + "/" + std::string(aead->backend_name());
      benchmark::RegisterBenchmark((name + "/make_key").c_str(), make_key, backend, suite);
      for (const size_t length : {size_t{64}, size_t{512}, size_t{1420}}) {
        const std::string bytes = "/" + std::to_string(length);
        benchmark::RegisterBenchmark((name + "/seal" + bytes).c_str(), seal, backend, suite, length);
        benchmark::RegisterBenchmark((name + "/open" + bytes).c_str(), open, backend, suite, length);
        for (const size_t batch : {size_t{32}, size_t{64}}) {
          const std::string size = bytes + "/batch:" + std::to_string(batch);
          benchmark::RegisterBenchmark((name + "/seal" + size).c_str(), seal_batch, backend, suite, length,
                                       batch);
          benchmark::RegisterBenchmark((name + "/open" + size).c_str(), open_batch, backend, suite, length,
                                       batch);
        }
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace vpn::crypto
