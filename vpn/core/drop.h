// Every reason the core drops a packet. Each drop is counted exactly once, under exactly one of these.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vpn::core {

enum class Drop : uint8_t {
  // Received, before any key was used.
  kUnknownType,        // first 32-bit word is no message type (a non-zero reserved byte included)
  kBadLength,          // wrong fixed length, or a data message under 32 bytes or not within the buffer
  kNoPrivateKey,       // a handshake message while no private key is set
  kBadMac1,            // mac1 does not verify
  kHandshakeOverload,  // the modelled handshake queue is full
  kCookieRequired,     // under load without a valid mac2: answered with a cookie reply, otherwise ignored
  kRateLimited,        // under load, mac2 right, but the source's bucket is empty
  kUnknownIndex,       // the receiver index is none of ours
  kWrongIndexKind,     // the index is ours, but names a handshake for a data message, or the reverse
  // Handshake.
  kHandshakeAuth,       // a handshake AEAD did not verify (wrong key, wrong PSK, other suite, tampered)
  kLowOrderKey,         // a Diffie-Hellman result was all zeros
  kUnknownPeer,         // the initiator's static key is not configured
  kWrongSuite,          // the initiator speaks the other cipher suite than is configured for it
  kOldTimestamp,        // TAI64N not greater than the greatest seen from this peer
  kInitiationTooSoon,   // within 20 ms of the last accepted initiation of this peer
  kUnexpectedResponse,  // a response in a state that awaits none
  kUnexpectedCookie,    // a cookie reply to nothing we sent, or the second to one mac1
  kBadCookie,           // a cookie reply that does not verify
  // Data, received.
  kSessionExpired,    // the session is older than REJECT_AFTER_TIME
  kCounterLimit,      // counter at or past REJECT_AFTER_MESSAGES
  kDataAuth,          // the AEAD tag does not verify
  kReplayed,          // seen before, or below the window
  kInnerNotIp,        // the inner packet is neither IPv4 nor IPv6
  kInnerLength,       // inner length beyond what arrived, or under its header
  kSourceNotAllowed,  // the inner source's longest-prefix owner is not the sender
  // To be sent.
  kOutboundNotIp,    // not an IP packet, or its length fields do not fit it
  kNoRoute,          // no peer's allowed-IPs cover the destination
  kNoEndpoint,       // the peer has no endpoint yet
  kTooLarge,         // longer than a datagram can carry
  kStagedOverflow,   // the oldest staged packet made room for a newer one
  kHandshakeGaveUp,  // staged, and the handshake got no answer within REKEY_ATTEMPT_TIME
  kInterfaceDown,    // staged when the interface was taken down
  kPeerRemoved,      // staged for a peer that was then removed or lost its key
};
inline constexpr size_t kDropCount = static_cast<size_t>(Drop::kPeerRemoved) + 1;

// The stable lower-case name that logs, metrics and the control socket use: "bad_mac1", "replayed", …
[[nodiscard]] std::string_view drop_name(Drop drop) noexcept;
// One sentence on what it means, for documentation and `vpn show`.
[[nodiscard]] std::string_view drop_meaning(Drop drop) noexcept;

// A count for every reason.
class DropCounters {
 public:
  void add(Drop drop, uint64_t count = 1) noexcept { counts_[static_cast<size_t>(drop)] += count; }
  [[nodiscard]] uint64_t of(Drop drop) const noexcept { return counts_[static_cast<size_t>(drop)]; }
  [[nodiscard]] uint64_t total() const noexcept;

 private:
  std::array<uint64_t, kDropCount> counts_{};
};

}  // namespace vpn::core
