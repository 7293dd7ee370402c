#include "vpn/sim/fate.h"

#include <sodium.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "vpn/base/endian.h"

namespace vpn::sim {
namespace {

constexpr std::array<std::string_view, kMessageClassCount> kClassNames = {"initiation", "response",  "cookie",
                                                                          "data",       "keepalive", "other"};

// What each of a packet's eight draws decides. Their order is part of what a seed means: append, never
// reorder.
enum Draw : size_t {
  kLoss,
  kBurstStep,
  kBurstLoss,
  kJitter,
  kReorder,
  kDuplicate,
  kDuplicateJitter,
  kCorrupt
};

// A draw as a number in [0, 1), exact in a double.
double as_share(uint64_t draw) noexcept {
  return static_cast<double>(draw >> 11) * 0x1p-53;
}

// delay ± jitter, uniform over whole nanoseconds, in integers so that every compiler agrees.
Duration jittered(const Impairment& impairment, uint64_t draw) noexcept {
  __extension__ using Wide = unsigned __int128;
  const auto span = static_cast<uint64_t>(impairment.jitter.count()) * 2 + 1;
  const auto offset = static_cast<int64_t>(static_cast<uint64_t>((Wide{draw} * span) >> 64));
  return std::max(Duration{0}, impairment.delay - impairment.jitter + Duration{offset});
}

bool is_dropped_by_list(const std::vector<DropRule>& drops, MessageClass message, uint64_t ordinal) noexcept {
  return std::any_of(drops.begin(), drops.end(), [&](const DropRule& rule) {
    return rule.message == message && ordinal >= rule.first - 1 && ordinal <= rule.last - 1;
  });
}

bool is_share(double value) noexcept {
  return value >= 0 && value <= 1;
}  // false for NaN

std::optional<uint64_t> parse_ordinal(std::string_view text) noexcept {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0) return std::nullopt;
  return value;
}

// BLAKE2b-256 under the seed of all the rest. `what` is a message class, or kNoMessageClass.
constexpr uint8_t kNoMessageClass = 0xff;
std::array<uint8_t, 32> key_of(uint64_t seed, std::string_view link, Direction direction,
                               uint8_t what) noexcept {
  std::array<uint8_t, 32> seed_key{};
  store_le<uint64_t>(seed_key.data(), seed);
  const std::array<uint8_t, 2> place = {static_cast<uint8_t>(direction), what};
  std::array<uint8_t, 32> key{};
  crypto_generichash_state hash;
  crypto_generichash_init(&hash, seed_key.data(), seed_key.size(), key.size());
  crypto_generichash_update(&hash, place.data(), place.size());
  crypto_generichash_update(&hash, reinterpret_cast<const uint8_t*>(link.data()), link.size());
  crypto_generichash_final(&hash, key.data(), key.size());
  return key;
}

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

}  // namespace

std::string_view message_class_name(MessageClass message) noexcept {
  return kClassNames[static_cast<size_t>(message)];
}

std::optional<MessageClass> parse_message_class(std::string_view name) noexcept {
  const auto found = std::find(kClassNames.begin(), kClassNames.end(), name);
  if (found == kClassNames.end()) return std::nullopt;
  return static_cast<MessageClass>(found - kClassNames.begin());
}

MessageClass classify_payload(BytesView udp_payload) noexcept {
  if (udp_payload.size() < 4) return MessageClass::kOther;
  switch (load_le<uint32_t>(udp_payload.data())) {
    case 1:
      return udp_payload.size() == 148 ? MessageClass::kInitiation : MessageClass::kOther;
    case 2:
      return udp_payload.size() == 92 ? MessageClass::kResponse : MessageClass::kOther;
    case 3:
      return udp_payload.size() == 64 ? MessageClass::kCookie : MessageClass::kOther;
    case 4:
      if (udp_payload.size() < 32) return MessageClass::kOther;
      return udp_payload.size() == 32 ? MessageClass::kKeepalive : MessageClass::kData;
    default:
      return MessageClass::kOther;
  }
}

std::optional<PayloadPosition> find_udp_payload(BytesView ethernet_frame) noexcept {
  constexpr size_t kEthernet = 14, kUdp = 8;
  constexpr uint8_t kProtocolUdp = 17;
  if (ethernet_frame.size() < kEthernet + 20 + kUdp) return std::nullopt;
  const uint8_t* const ip = ethernet_frame.data() + kEthernet;
  size_t ip_header = 0;
  switch (load_be<uint16_t>(ethernet_frame.data() + 12)) {
    case 0x0800:
      ip_header = size_t{4} * (ip[0] & 0x0f);
      // More fragments, or an offset: the UDP datagram is not all here.
      if (ip[0] >> 4 != 4 || ip_header < 20 || ip[9] != kProtocolUdp ||
          (load_be<uint16_t>(ip + 6) & 0x3fff) != 0) {
        return std::nullopt;
      }
      break;
    case 0x86dd:
      ip_header = 40;
      if (ip[0] >> 4 != 6 || ip[6] != kProtocolUdp) return std::nullopt;
      break;
    default:
      return std::nullopt;
  }
  const size_t udp = kEthernet + ip_header;
  if (ethernet_frame.size() < udp + kUdp) return std::nullopt;
  const size_t udp_bytes = load_be<uint16_t>(ethernet_frame.data() + udp + 4);
  if (udp_bytes < kUdp || ethernet_frame.size() < udp + udp_bytes) return std::nullopt;
  return PayloadPosition{udp + kUdp, udp_bytes - kUdp};
}

MessageClass classify_frame(BytesView ethernet_frame) noexcept {
  const auto payload = find_udp_payload(ethernet_frame);
  if (!payload) return MessageClass::kOther;
  return classify_payload(ethernet_frame.subspan(payload->offset, payload->length));
}

std::optional<DropRule> DropRule::parse(std::string_view text) noexcept {
  const size_t colon = text.find(':');
  const auto message = parse_message_class(text.substr(0, colon));
  if (!message) return std::nullopt;
  if (colon == std::string_view::npos) return DropRule{*message, 1, kNoLimit};
  const std::string_view range = text.substr(colon + 1);
  const size_t dash = range.find('-');
  const auto first = parse_ordinal(range.substr(0, dash));
  if (!first) return std::nullopt;
  if (dash == std::string_view::npos) return DropRule{*message, *first, *first};
  if (dash + 1 == range.size()) return DropRule{*message, *first, kNoLimit};
  const auto last = parse_ordinal(range.substr(dash + 1));
  if (!last || *last < *first) return std::nullopt;
  return DropRule{*message, *first, *last};
}

std::string DropRule::to_string() const {
  std::string text{message_class_name(message)};
  if (first == 1 && last == kNoLimit) return text;
  text += ':' + std::to_string(first);
  if (last == first) return text;
  text += '-';
  if (last != kNoLimit) text += std::to_string(last);
  return text;
}

std::optional<std::string_view> invalid_field(const Impairment& impairment) noexcept {
  const std::array<std::pair<double, std::string_view>, 8> shares = {{
      {impairment.loss, "loss"},
      {impairment.burst.good_to_bad, "burst.good_to_bad"},
      {impairment.burst.bad_to_good, "burst.bad_to_good"},
      {impairment.burst.loss_in_good, "burst.loss_in_good"},
      {impairment.burst.loss_in_bad, "burst.loss_in_bad"},
      {impairment.reorder, "reorder"},
      {impairment.duplicate, "duplicate"},
      {impairment.corrupt, "corrupt"},
  }};
  for (const auto& [value, name] : shares) {
    if (!is_share(value)) return name;
  }
  constexpr Duration kLongest = std::chrono::hours(1);
  const std::array<std::pair<Duration, std::string_view>, 3> times = {
      {{impairment.delay, "delay"},
       {impairment.jitter, "jitter"},
       {impairment.reorder_hold, "reorder_hold"}}};
  for (const auto& [value, name] : times) {
    if (value < Duration{0} || value > kLongest) return name;
  }
  for (const DropRule& rule : impairment.drops) {
    if (rule.first == 0 || rule.last < rule.first) return "drops";
  }
  return std::nullopt;
}

void corrupt_bytes(uint32_t draw, MutableBytes bytes) noexcept {
  if (bytes.empty()) return;
  const uint64_t bit = corrupt_bit(draw, bytes.size());
  bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ (1U << (bit % 8)));
}

FateStream::FateStream(uint64_t seed, std::string_view link, Direction direction,
                       MessageClass message) noexcept
    : key_(key_of(seed, link, direction, static_cast<uint8_t>(message))), message_(message) {}

uint64_t seed_of_direction(uint64_t seed, std::string_view link, Direction direction) noexcept {
  return load_le<uint64_t>(key_of(seed, link, direction, kNoMessageClass).data());
}

FateStream::Draws FateStream::draws_of(uint64_t ordinal) const noexcept {
  constexpr std::array<uint8_t, crypto_stream_chacha20_NONCEBYTES> kNonce{};
  std::array<uint8_t, kDrawCount * sizeof(uint64_t)> block{};
  static_assert(sizeof block == 64);
  crypto_stream_chacha20_xor_ic(block.data(), block.data(), block.size(), kNonce.data(), ordinal,
                                key_.data());
  Draws draws{};
  for (size_t i = 0; i < kDrawCount; ++i) draws[i] = load_le<uint64_t>(block.data() + i * sizeof(uint64_t));
  return draws;
}

// The chain's step at packet i, from its draw u: to bad if u < good_to_bad (from good), to bad if u < 1 −
// bad_to_good (from bad). Outside the interval between the two bounds the old state does not matter. Inside,
// the state is kept or, where a chain changes its state more often than not, flipped.
bool FateStream::in_burst(const BurstLoss& burst, uint64_t ordinal) noexcept {
  if (burst.good_to_bad <= 0) return false;
  const double stay_bad = 1 - burst.bad_to_good;
  const double low = std::min(burst.good_to_bad, stay_bad);
  const double high = std::max(burst.good_to_bad, stay_bad);
  const bool keeps = burst.good_to_bad <= stay_bad;
  if (burst != walked_) walked_to_.reset();

  bool flipped = false;
  bool state = false;
  for (uint64_t i = ordinal;; --i) {
    if (walked_to_ == i) {
      state = walked_state_;
      break;
    }
    const double u = as_share(draws_of(i)[kBurstStep]);
    if (i == 0) {
      state = u < burst.good_to_bad / (burst.good_to_bad + burst.bad_to_good);
      break;
    }
    if (u < low || u >= high) {
      state = u < low;
      break;
    }
    if (!keeps) flipped = !flipped;
  }
  state = state != flipped;
  walked_ = burst;
  walked_to_ = ordinal;
  walked_state_ = state;
  return state;
}

Fate FateStream::fate(const Impairment& impairment, uint64_t ordinal) noexcept {
  const Draws draws = draws_of(ordinal);
  Fate fate;
  const double burst_loss =
      in_burst(impairment.burst, ordinal) ? impairment.burst.loss_in_bad : impairment.burst.loss_in_good;
  if (is_dropped_by_list(impairment.drops, message_, ordinal)) {
    fate.loss = LossCause::kDropList;
  } else if (as_share(draws[kLoss]) < impairment.loss) {
    fate.loss = LossCause::kLoss;
  } else if (as_share(draws[kBurstLoss]) < burst_loss) {
    fate.loss = LossCause::kBurst;
  }
  fate.held = as_share(draws[kReorder]) < impairment.reorder;
  fate.delay = jittered(impairment, draws[kJitter]) + (fate.held ? impairment.reorder_hold : Duration{0});
  if (as_share(draws[kDuplicate]) < impairment.duplicate) {
    fate.duplicate_delay = jittered(impairment, draws[kDuplicateJitter]);
  }
  // One draw, two uses: the upper half decides whether, the lower half where.
  if (static_cast<double>(draws[kCorrupt] >> 32) * 0x1p-32 < impairment.corrupt) {
    fate.corrupt = static_cast<uint32_t>(draws[kCorrupt]);
  }
  return fate;
}

LinkFates::LinkFates(uint64_t seed, std::string_view link, Direction direction) noexcept
    : streams_{FateStream(seed, link, direction, MessageClass::kInitiation),
               FateStream(seed, link, direction, MessageClass::kResponse),
               FateStream(seed, link, direction, MessageClass::kCookie),
               FateStream(seed, link, direction, MessageClass::kData),
               FateStream(seed, link, direction, MessageClass::kKeepalive),
               FateStream(seed, link, direction, MessageClass::kOther)} {}

LinkFates::Decision LinkFates::next(const Impairment& impairment, MessageClass message) noexcept {
  const uint64_t ordinal = offered_[index(message)]++;
  return {message, ordinal, streams_[index(message)].fate(impairment, ordinal)};
}

void ReorderMeter::arrived(uint64_t sequence) noexcept {
  ++arrived_;
  if (sequence < next_expected_) {
    ++reordered_;
  } else {
    next_expected_ = sequence + 1;
  }
}

double ReorderMeter::share() const noexcept {
  return arrived_ == 0 ? 0 : static_cast<double>(reordered_) / static_cast<double>(arrived_);
}

}  // namespace vpn::sim
