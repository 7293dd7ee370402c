#include "vpn/cli/bench_crypto.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>

#include "vpn/base/check.h"
#include "vpn/crypto/aead.h"
#include "vpn/wire/messages.h"

namespace vpn::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kBatch = 64;
constexpr unsigned kRuns = 10;
constexpr size_t kDatagramBytes = kBenchPacketBytes + wire::kDataOverheadBytes;

// A batch of data messages and the packets in them.
struct Batch {
  std::vector<uint8_t> plain = std::vector<uint8_t>(kBatch * kBenchPacketBytes, 0x5a);
  std::vector<uint8_t> datagrams = std::vector<uint8_t>(kBatch * kDatagramBytes);
  std::array<crypto::SealJob, kBatch> seals;
  std::array<crypto::OpenJob, kBatch> opens;
  Counter next = 0;

  [[nodiscard]] MutableBytes datagram(size_t index) {
    return MutableBytes(datagrams).subspan(index * kDatagramBytes, kDatagramBytes);
  }
  [[nodiscard]] MutableBytes packet(size_t index) {
    return MutableBytes(plain).subspan(index * kBenchPacketBytes, kBenchPacketBytes);
  }

  // The header and the sealed packet behind it.
  void seal(crypto::Aead& aead, const crypto::AeadKey& key) {
    for (size_t index = 0; index < kBatch; ++index) {
      const Counter counter = next++;
      wire::encode_data_header(SessionIndex{1}, counter, datagram(index).first<wire::kDataHeaderBytes>());
      seals[index] = {counter, packet(index), datagram(index).subspan(wire::kDataHeaderBytes)};
    }
    aead.seal_batch(key, seals);
  }

  // Reads the header, and opens what is behind it.
  void open(crypto::Aead& aead, const crypto::AeadKey& key) {
    for (size_t index = 0; index < kBatch; ++index) {
      const auto message = wire::parse(datagram(index));
      VPN_CHECK(message.has_value());
      const auto* const data = std::get_if<wire::Data>(&*message);
      VPN_CHECK(data != nullptr);
      opens[index] = {data->counter, datagram(index).subspan(wire::kDataHeaderBytes), packet(index)};
    }
    aead.open_batch(key, opens);
    for (const crypto::OpenJob& job : opens) VPN_CHECK(job.authentic);
  }
};

double fastest_ns(std::chrono::nanoseconds duration, const std::function<void()>& work) {
  double fastest = std::numeric_limits<double>::infinity();
  for (unsigned run = 0; run < kRuns; ++run) {
    size_t packets = 0;
    const auto begin = Clock::now();
    auto now = begin;
    for (; now - begin < duration / kRuns; now = Clock::now()) {
      work();
      packets += kBatch;
    }
    fastest = std::min(fastest, std::chrono::duration<double, std::nano>(now - begin).count() /
                                    static_cast<double>(packets));
  }
  return fastest;
}

}  // namespace

std::vector<CipherFigures> measure_ciphers(std::chrono::nanoseconds duration) {
  std::vector<CipherFigures> all;
  const crypto::AeadSet aeads = crypto::select_aeads();
  std::array<uint8_t, crypto::kKeyBytes> bytes{};
  bytes.fill(7);
  for (const crypto::Suite suite : {crypto::Suite::kAes256Gcm, crypto::Suite::kChaCha20Poly1305}) {
    crypto::Aead& aead = aeads.of(suite);
    const auto key = aead.make_key(crypto::AeadSecret(bytes));
    Batch batch;
    CipherFigures figures{std::string(crypto::suite_name(suite)), std::string(aead.backend_name()), 0, 0};
    figures.seal_ns = fastest_ns(duration, [&] { batch.seal(aead, *key); });
    figures.open_ns = fastest_ns(duration, [&] { batch.open(aead, *key); });
    all.push_back(std::move(figures));
  }
  return all;
}

}  // namespace vpn::cli
