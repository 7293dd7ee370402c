// The gate before the handshake as the protocol's text has it, in other arithmetic than HandshakeGate's: the
// queue as the time when it will be empty, the rate limit by theoretical arrival times (GCRA), cookies by
// their definition.
#pragma once

#include <algorithm>
#include <map>
#include <optional>

#include "fuzz/recording_random.h"
#include "fuzz/reference_noise.h"
#include "vpn/base/check.h"
#include "vpn/base/time.h"
#include "vpn/core/drop.h"

namespace vpn::fuzz {

class ReferenceGate {
 public:
  ReferenceGate(const Bytes32& own_public, uint32_t messages_per_second)
      : own_public_(own_public), service_(Duration(std::chrono::seconds(1)) / messages_per_second) {}

  // Judges a whole initiation or response. `random` holds what the gate under test drew for this very
  // message: a new cookie secret is taken from there.
  std::optional<core::Drop> admit(BytesView message, const UdpAddress& source, Instant now,
                                  RecordingRandom& random) {
    const Bytes16 mac1 = mac1_of(own_public_, message);
    if (!std::equal(mac1.begin(), mac1.end(), message.end() - 32)) return core::Drop::kBadMac1;
    if (backlog(arrived_empty_, now) >= service_ * 512) loaded_until_ = now + std::chrono::seconds(1);
    add(arrived_empty_, now);
    if (loaded_until_ && now < *loaded_until_) {
      const Bytes16 mac2 = mac2_of(cookie_for(source, now, random), message);
      if (!std::equal(mac2.begin(), mac2.end(), message.end() - 16)) return core::Drop::kCookieRequired;
      if (!limiter_admits(source.address, now)) return core::Drop::kRateLimited;
    }
    if (backlog(admitted_empty_, now) >= service_ * 4096) return core::Drop::kHandshakeOverload;
    // Not cut at the queue's length, or a full queue would take a message each nanosecond.
    admitted_empty_ = std::max(admitted_empty_, now) + service_;
    return std::nullopt;
  }

  // The cookie that this source is owed now.
  Bytes16 cookie_for(const UdpAddress& source, Instant now, RecordingRandom& random) {
    if (!secret_since_ || now - *secret_since_ >= std::chrono::seconds(120)) {
      const auto drawn = random.take<32>();
      VPN_CHECK(drawn.has_value());  // the secret must change now
      secret_ = *drawn;
      secret_since_ = now;
    }
    return cookie_of(secret_, source);
  }
  // The same with the secret as it is, for whoever forges messages.
  [[nodiscard]] std::optional<Bytes16> peek_cookie(const UdpAddress& source) const {
    if (!secret_since_) return std::nullopt;
    return cookie_of(secret_, source);
  }
  [[nodiscard]] bool under_load(Instant now) const { return loaded_until_ && now < *loaded_until_; }

 private:
  [[nodiscard]] static Duration backlog(Instant empty_at, Instant now) {
    return std::max(Duration{}, empty_at - now);
  }
  void add(Instant& empty_at, Instant now) const {
    empty_at = std::min(std::max(empty_at, now) + service_, now + service_ * 4096);
  }
  bool limiter_admits(const IpAddress& source, Instant now) {
    constexpr Duration kCost = std::chrono::milliseconds(50);  // 20 a second
    Instant& arrival = arrivals_[source.is_ipv4() ? source : source.masked(64)];
    if (arrival - now > kCost * 4) return false;  // a burst of 5
    arrival = std::max(arrival, now) + kCost;
    return true;
  }

  Bytes32 own_public_;
  Duration service_;
  Instant arrived_empty_{};
  Instant admitted_empty_{};
  std::optional<Instant> loaded_until_;
  Bytes32 secret_{};
  std::optional<Instant> secret_since_;
  std::map<IpAddress, Instant> arrivals_;
};

}  // namespace vpn::fuzz
