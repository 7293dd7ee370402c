#include "vpn/core/handshake_gate.h"

#include <algorithm>

#include "vpn/base/endian.h"
#include "vpn/core/constants.h"

namespace vpn::core {
namespace {

constexpr Duration kTokenCost = Duration(1s) / kRateLimitPerSecond;
constexpr Duration kBucketSize = kTokenCost * kRateLimitBurst;
constexpr unsigned kIpv6SourceBits = 64;
constexpr Duration kSweepInterval = 1s;
constexpr uint32_t kLoadDivisor = 8;

}  // namespace

size_t RateLimiter::SourceHash::operator()(const IpAddress& source) const noexcept {
  // A plain mix: an attacker who wants collisions must own the colliding addresses, and the table's size is
  // bounded.
  const BytesView bytes = source.bytes();
  uint64_t value = source.is_ipv4() ? load_le<uint32_t>(bytes.data()) : load_le<uint64_t>(bytes.data());
  value *= 0x9e3779b97f4a7c15ULL;
  return static_cast<size_t>(value ^ (value >> 32));
}

bool RateLimiter::admit(const IpAddress& source, Instant now) {
  if (now >= next_sweep_) {
    forget_idle(now);
    next_sweep_ = now + kSweepInterval;
  }
  const IpAddress key = source.is_ipv4() ? source : source.masked(kIpv6SourceBits);
  auto found = buckets_.find(key);
  if (found == buckets_.end()) {
    if (buckets_.size() >= kRateLimitMaxSources) return false;
    found = buckets_.emplace(key, Bucket{kBucketSize, now}).first;
  }
  Bucket& bucket = found->second;
  bucket.tokens = std::min(kBucketSize, bucket.tokens + (now - bucket.last));
  bucket.last = now;
  if (bucket.tokens < kTokenCost) return false;
  bucket.tokens -= kTokenCost;
  return true;
}

// A bucket that has had time to fill up says nothing that a new one would not.
void RateLimiter::forget_idle(Instant now) {
  std::erase_if(buckets_, [now](const auto& entry) { return now - entry.second.last >= kBucketSize; });
}

HandshakeGate::HandshakeGate(crypto::RandomSource& random, uint32_t handshakes_per_second) noexcept
    : random_(&random), service_time_(Duration(1s) / std::max(handshakes_per_second, 1u)) {}

std::optional<Drop> HandshakeGate::admit(BytesView message, const crypto::Hash& own_mac1_key,
                                         const UdpAddress& source, Instant now) {
  if (!noise::verify_mac1(message, own_mac1_key)) return Drop::kBadMac1;
  arrived_.drain(now);
  admitted_.drain(now);
  const Duration full = service_time_ * kHandshakeQueueLength;
  if (arrived_.backlog >= full / kLoadDivisor) loaded_until_ = now + kUnderLoadStickiness;
  arrived_.backlog = std::min(full, arrived_.backlog + service_time_);
  if (under_load(now)) {
    if (!noise::verify_mac2(message, cookie_for(source, now))) return Drop::kCookieRequired;
    if (!limiter_.admit(source.address, now)) return Drop::kRateLimited;
  }
  if (admitted_.backlog >= full) return Drop::kHandshakeOverload;
  admitted_.backlog += service_time_;
  return std::nullopt;
}

noise::Cookie HandshakeGate::cookie_for(const UdpAddress& source, Instant now) {
  rotate_secret(now);
  return noise::make_cookie(cookie_secret_, source);
}

void HandshakeGate::ModelledQueue::drain(Instant now) noexcept {
  backlog = std::max(Duration{}, backlog - (now - as_of));
  as_of = now;
}

void HandshakeGate::rotate_secret(Instant now) noexcept {
  if (secret_created_ && now - *secret_created_ < kCookieSecretLifetime) return;
  random_->fill(cookie_secret_.mutable_view());
  secret_created_ = now;
}

}  // namespace vpn::core
