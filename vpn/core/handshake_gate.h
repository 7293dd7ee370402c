// HandshakeGate: what a handshake message must pass before it may cost a Diffie-Hellman computation. mac1
// always; when the node is under load also mac2 (proof of the source address, by a cookie) and a rate limit
// per source.
//
// Load is modelled, so that it is a function of arrivals and time alone: a queue that every message with a
// right mac1 enters, and that drains at a fixed rate. An eighth of it filled means under load, for at least a
// second. A second queue of the same shape holds what was admitted only: while it is full, nothing more is,
// whoever asks.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "vpn/base/ip_address.h"
#include "vpn/base/secret.h"
#include "vpn/base/time.h"
#include "vpn/core/drop.h"
#include "vpn/crypto/blake2s.h"
#include "vpn/crypto/random.h"
#include "vpn/noise/cookie.h"

namespace vpn::core {

// A token bucket for every source: an IPv4 address, or an IPv6 /64. Only sources that proved their address
// get one.
class RateLimiter {
 public:
  // Whether a message from the source may pass now; takes a token when it may.
  [[nodiscard]] bool admit(const IpAddress& source, Instant now);
  [[nodiscard]] size_t source_count() const noexcept { return buckets_.size(); }

 private:
  struct Bucket {
    Duration tokens{};  // time saved up; a message costs 1 s / rate
    Instant last{};
  };
  struct SourceHash {
    size_t operator()(const IpAddress& source) const noexcept;
  };

  void forget_idle(Instant now);

  std::unordered_map<IpAddress, Bucket, SourceHash> buckets_;
  Instant next_sweep_{};
};

class HandshakeGate {
 public:
  HandshakeGate(crypto::RandomSource& random, uint32_t handshakes_per_second) noexcept;

  // Judges a whole initiation or response (`message`, of right length). Empty: it may be processed.
  // kCookieRequired: the caller answers with cookie_for(). Other reasons: silence.
  [[nodiscard]] std::optional<Drop> admit(BytesView message, const crypto::Hash& own_mac1_key,
                                          const UdpAddress& source, Instant now);
  // The cookie that proves this source.
  [[nodiscard]] noise::Cookie cookie_for(const UdpAddress& source, Instant now);

  [[nodiscard]] bool under_load(Instant now) const noexcept { return now < loaded_until_; }

 private:
  // A queue that drains by itself: how long it still needs to, as of when.
  struct ModelledQueue {
    Duration backlog{};
    Instant as_of{};
    void drain(Instant now) noexcept;
  };

  void rotate_secret(Instant now) noexcept;

  crypto::RandomSource* random_;
  RateLimiter limiter_;
  Secret<32> cookie_secret_;
  std::optional<Instant> secret_created_;
  Duration service_time_;  // of one message
  ModelledQueue arrived_;
  ModelledQueue admitted_;
  Instant loaded_until_ = Instant::min();
};

}  // namespace vpn::core
