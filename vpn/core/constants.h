// The numbers of the protocol (whitepaper section 6.1 and the Linux implementation).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "vpn/base/time.h"

namespace vpn::core {

using namespace std::chrono_literals;

inline constexpr uint64_t kRekeyAfterMessages = uint64_t{1} << 60;
inline constexpr uint64_t kRejectAfterMessages = UINT64_MAX - (uint64_t{1} << 13);  // 2^64 − 2^13 − 1
inline constexpr Duration kRekeyAfterTime = 120s;
inline constexpr Duration kRejectAfterTime = 180s;
inline constexpr Duration kRekeyTimeout = 5s;
inline constexpr Duration kMaxJitter = 333ms;
inline constexpr Duration kRekeyAttemptTime = 90s;
inline constexpr Duration kKeepaliveTimeout = 10s;
inline constexpr Duration kNoAnswerTimeout = kKeepaliveTimeout + kRekeyTimeout;
// On receiving with a session this old its initiator makes a new one, once, before the session must be
// rejected.
inline constexpr Duration kLastChanceRekeyTime = kRejectAfterTime - kKeepaliveTimeout - kRekeyTimeout;
inline constexpr Duration kKeyErasureTime = 3 * kRejectAfterTime;
// We stop sending on a session this much before its end, so that a packet on its way is not rejected on
// arrival.
inline constexpr Duration kSendMargin = 1s;

inline constexpr Duration kCookieSecretLifetime = 120s;
inline constexpr Duration kCookieLatency =
    5s;  // a cookie is not used in the last seconds of its secret's life
inline constexpr Duration kMinInitiationSpacing = 20ms;  // between accepted initiations of one peer
inline constexpr uint32_t kRateLimitPerSecond = 20;
inline constexpr uint32_t kRateLimitBurst = 5;
inline constexpr size_t kRateLimitMaxSources = 16384;
inline constexpr uint32_t kHandshakeQueueLength = 4096;
inline constexpr Duration kUnderLoadStickiness = 1s;

inline constexpr size_t kMaxStagedPackets = 128;
// Cookie replies that wait to be sent. Whoever knows our public key can ask for them as fast as the link
// allows.
inline constexpr size_t kMaxQueuedCookieReplies = 256;
inline constexpr size_t kPaddingMultiple = 16;
inline constexpr uint8_t kHandshakeTos = 0x88;

}  // namespace vpn::core
