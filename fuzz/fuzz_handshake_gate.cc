// mac1, load, cookies and the rate limit over virtual time: the verdict on every message of a hostile
// sequence is the one of a reference queue and bucket, and the cookie handed out is the one that the
// definition gives.
#include <map>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/recording_random.h"
#include "fuzz/reference_gate.h"
#include "vpn/base/check.h"
#include "vpn/core/handshake_gate.h"
#include "vpn/noise/identity.h"

namespace vpn {
namespace {

// A queue is full with 4096 messages and loaded with 512; most inputs do without the former.
constexpr size_t kMaxMessages = 6000;
constexpr size_t kMostlyMaxMessages = 800;
constexpr Duration kSteps[] = {Duration{},
                               std::chrono::milliseconds(1),
                               std::chrono::milliseconds(49),
                               std::chrono::milliseconds(50),
                               std::chrono::milliseconds(250),
                               std::chrono::milliseconds(999),
                               std::chrono::seconds(1),
                               std::chrono::seconds(119)};

const fuzz::Bytes32 kOwnPublic = {9, 1, 7};

UdpAddress source_of(uint8_t choice, uint16_t count) {
  const auto port = static_cast<uint16_t>(choice & 8 ? 51820 : 51821);
  switch (choice & 7) {
    case 0:
      return {IpAddress::ipv4(192, 0, 2, 1), port, 0};
    case 1:
      return {IpAddress::ipv4(192, 0, 2, 2), port, 0};
    case 2:
      return {*IpAddress::parse("2001:db8::1"), port, 0};
    case 3:
      return {*IpAddress::parse("2001:db8::2"), port, 0};  // of the same /64
    case 4:
      return {*IpAddress::parse("2001:db8:0:1::1"), port, 0};
    case 5:
      return {*IpAddress::parse("fe80::1"), port, choice & 16u};
    default:  // one after another: a crowd
      return {IpAddress::ipv4(10, 0, static_cast<uint8_t>(count >> 8), static_cast<uint8_t>(count)), port, 0};
  }
}

enum class Mac2 : uint8_t { kZero, kRight, kOtherPort, kOtherAddress, kRemembered, kOneBitOff };

class Sequence {
 public:
  Sequence(uint32_t rate, size_t max_messages)
      : max_messages_(max_messages),
        gate_(random_, rate),
        reference_(kOwnPublic, rate),
        mac1_key_(noise::mac1_key(PublicKey{kOwnPublic})) {}

  void step(fuzz::Input& input) {
    const auto timing = input.take<uint8_t>();
    const auto shape = input.take<uint8_t>();
    const auto from = input.take<uint8_t>();
    now_ += kSteps[timing & 7];
    // A flood: 1, 2, 4, … 1024 messages in a row, a step of time apart when the highest bit is set.
    const size_t repeats = size_t{1} << (timing >> 3 & 15) % 11;
    for (size_t repeat = 0; repeat < repeats && count_ < max_messages_; ++repeat) {
      send(shape, source_of(from, static_cast<uint16_t>(count_)));
      if ((timing & 0x80) != 0) now_ += std::chrono::milliseconds(1);
    }
  }
  [[nodiscard]] bool exhausted() const { return count_ >= max_messages_; }

 private:
  void send(uint8_t shape, const UdpAddress& source) {
    ++count_;
    std::vector<uint8_t> message((shape & 1) != 0 ? 148 : 92, static_cast<uint8_t>(count_));
    fuzz::write_macs(message, kOwnPublic, cookie(static_cast<Mac2>((shape >> 1 & 7) % 6), source));
    if (static_cast<Mac2>((shape >> 1 & 7) % 6) == Mac2::kOneBitOff) message.back() ^= 0x80;
    if ((shape & 0xf0) == 0xf0) message[message.size() - 17 - (shape & 15)] ^= 1;

    random_.forget();
    const auto verdict = gate_.admit(message, mac1_key_, source, now_);
    VPN_CHECK(verdict == reference_.admit(message, source, now_, random_));
    VPN_CHECK(gate_.under_load(now_) == reference_.under_load(now_));
    if (verdict != core::Drop::kCookieRequired) return;
    const noise::Cookie given = gate_.cookie_for(source, now_);
    const fuzz::Bytes16 owed = reference_.cookie_for(source, now_, random_);
    VPN_CHECK(equal_constant_time(given.view(), owed));
    remembered_.try_emplace(source, owed);
  }

  std::optional<fuzz::Bytes16> cookie(Mac2 kind, UdpAddress source) {
    const auto old = remembered_.find(source);
    switch (kind) {
      case Mac2::kZero:
        return std::nullopt;
      case Mac2::kRemembered:  // perhaps of a secret that is gone
        return old == remembered_.end() ? std::nullopt : std::optional(old->second);
      case Mac2::kOtherPort:
        source.port ^= 1;
        break;
      case Mac2::kOtherAddress:
        source.address = IpAddress::ipv4(192, 0, 2, 77);
        break;
      case Mac2::kRight:
      case Mac2::kOneBitOff:
        break;
    }
    return reference_.peek_cookie(source);
  }

  size_t max_messages_;
  fuzz::RecordingRandom random_{1};
  core::HandshakeGate gate_;
  fuzz::ReferenceGate reference_;
  crypto::Hash mac1_key_;
  Instant now_{std::chrono::seconds(1000)};
  size_t count_ = 0;
  std::map<UdpAddress, fuzz::Bytes16> remembered_;
};

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  fuzz::Input input({data, size});
  constexpr uint32_t kRates[] = {1, 2, 50, 1000};
  const auto shape = input.take<uint8_t>();
  Sequence sequence(kRates[shape & 3], (shape & 0x1c) == 0 ? kMaxMessages : kMostlyMaxMessages);
  while (!input.empty() && !sequence.exhausted()) sequence.step(input);
  return 0;
}
