#include "vpn/core/drop.h"

#include <numeric>

namespace vpn::core {
namespace {

struct Description {
  std::string_view name;
  std::string_view meaning;
};

Description describe(Drop drop) noexcept {
  switch (drop) {
    case Drop::kUnknownType:
      return {"unknown_type", "the first four bytes name no message type"};
    case Drop::kBadLength:
      return {"bad_length", "the datagram does not have the length of its message type"};
    case Drop::kNoPrivateKey:
      return {"no_private_key", "a handshake message arrived while no private key is set"};
    case Drop::kBadMac1:
      return {"bad_mac1", "mac1 does not verify: the sender does not know our public key"};
    case Drop::kHandshakeOverload:
      return {"handshake_overload", "more handshake messages than the queue holds"};
    case Drop::kCookieRequired:
      return {"cookie_required", "under load and without a valid mac2: a cookie was sent instead"};
    case Drop::kRateLimited:
      return {"rate_limited", "under load, and the source has used up its share of handshakes"};
    case Drop::kUnknownIndex:
      return {"unknown_index", "the receiver index is none of ours"};
    case Drop::kWrongIndexKind:
      return {"wrong_index_kind",
              "the receiver index names a handshake where a session is needed, or the reverse"};
    case Drop::kHandshakeAuth:
      return {"handshake_auth",
              "a handshake message does not authenticate: wrong key or preshared key, or tampered"};
    case Drop::kLowOrderKey:
      return {"low_order_key", "a Diffie-Hellman result is all zeros: a public key of small order"};
    case Drop::kUnknownPeer:
      return {"unknown_peer", "the initiator's public key is not configured"};
    case Drop::kWrongSuite:
      return {"wrong_suite", "the initiator speaks the other cipher suite than is configured for it"};
    case Drop::kOldTimestamp:
      return {"old_timestamp", "the initiation's timestamp is not newer than the newest seen from this peer"};
    case Drop::kInitiationTooSoon:
      return {"initiation_too_soon", "the initiation follows the last accepted one within 20 ms"};
    case Drop::kUnexpectedResponse:
      return {"unexpected_response", "a response to no initiation that is waiting for one"};
    case Drop::kUnexpectedCookie:
      return {"unexpected_cookie", "a cookie reply to nothing sent, or a second one to the same message"};
    case Drop::kBadCookie:
      return {"bad_cookie", "a cookie reply that does not verify"};
    case Drop::kSessionExpired:
      return {"session_expired", "the session is older than 180 s"};
    case Drop::kCounterLimit:
      return {"counter_limit", "the message counter is at or past the limit of a key"};
    case Drop::kDataAuth:
      return {"data_auth", "a data message does not authenticate: tampered, or not from the peer"};
    case Drop::kReplayed:
      return {"replayed", "the counter was seen before, or is below the replay window"};
    case Drop::kInnerNotIp:
      return {"inner_not_ip", "the decrypted content is neither IPv4 nor IPv6"};
    case Drop::kInnerLength:
      return {"inner_length", "the inner packet's length does not fit what arrived"};
    case Drop::kSourceNotAllowed:
      return {"source_not_allowed", "the inner source address belongs to another peer or to none"};
    case Drop::kOutboundNotIp:
      return {"outbound_not_ip", "a packet to be sent is no complete IP packet"};
    case Drop::kNoRoute:
      return {"no_route", "no peer's allowed-IPs cover the destination"};
    case Drop::kNoEndpoint:
      return {"no_endpoint", "the peer's address is not known yet"};
    case Drop::kTooLarge:
      return {"too_large", "a packet to be sent is longer than a datagram can carry"};
    case Drop::kStagedOverflow:
      return {"staged_overflow", "the oldest waiting packet made room for a newer one"};
    case Drop::kHandshakeGaveUp:
      return {"handshake_gave_up", "waiting packets were given up with a handshake that got no answer"};
    case Drop::kPeerRemoved:
      return {"peer_removed", "waiting packets of a peer that was removed"};
  }
  return {"unknown", ""};
}

}  // namespace

std::string_view drop_name(Drop drop) noexcept {
  return describe(drop).name;
}

std::string_view drop_meaning(Drop drop) noexcept {
  return describe(drop).meaning;
}

uint64_t DropCounters::total() const noexcept {
  return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0});
}

}  // namespace vpn::core
