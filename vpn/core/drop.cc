#include "vpn/core/drop.h"

#include <iterator>
#include <numeric>

namespace vpn::core {
namespace {

struct Description {
  Drop drop;
  std::string_view name;
  std::string_view meaning;
};

constexpr Description kDescriptions[] = {
    {Drop::kUnknownType, "unknown_type", "the first four bytes name no message type"},
    {Drop::kBadLength, "bad_length", "the datagram does not have the length of its message type"},
    {Drop::kNoPrivateKey, "no_private_key", "a handshake message arrived while no private key is set"},
    {Drop::kBadMac1, "bad_mac1", "mac1 does not verify: the sender does not know our public key"},
    {Drop::kHandshakeOverload, "handshake_overload", "more handshake messages than the queue holds"},
    {Drop::kCookieRequired, "cookie_required",
     "under load and without a valid mac2: a cookie was sent instead"},
    {Drop::kRateLimited, "rate_limited", "under load, and the source has used up its share of handshakes"},
    {Drop::kUnknownIndex, "unknown_index", "the receiver index is none of ours"},
    {Drop::kWrongIndexKind, "wrong_index_kind",
     "the receiver index names a handshake where a session is needed, or the reverse"},
    {Drop::kHandshakeAuth, "handshake_auth",
     "a handshake message does not authenticate: wrong key or preshared key, or tampered"},
    {Drop::kLowOrderKey, "low_order_key",
     "a Diffie-Hellman result is all zeros: a public key of small order"},
    {Drop::kUnknownPeer, "unknown_peer", "the initiator's public key is not configured"},
    {Drop::kWrongSuite, "wrong_suite",
     "the initiator speaks the other cipher suite than is configured for it"},
    {Drop::kOldTimestamp, "old_timestamp",
     "the initiation's timestamp is not newer than the newest seen from this peer"},
    {Drop::kInitiationTooSoon, "initiation_too_soon",
     "the initiation follows the last accepted one within 20 ms"},
    {Drop::kUnexpectedResponse, "unexpected_response", "a response to no initiation that is waiting for one"},
    {Drop::kUnexpectedCookie, "unexpected_cookie",
     "a cookie reply to nothing sent, or a second one to the same message"},
    {Drop::kBadCookie, "bad_cookie", "a cookie reply that does not verify"},
    {Drop::kSessionExpired, "session_expired", "the session is older than 180 s"},
    {Drop::kCounterLimit, "counter_limit", "the message counter is at or past the limit of a key"},
    {Drop::kDataAuth, "data_auth", "a data message does not authenticate: tampered, or not from the peer"},
    {Drop::kReplayed, "replayed", "the counter was seen before, or is below the replay window"},
    {Drop::kInnerNotIp, "inner_not_ip", "the decrypted content is neither IPv4 nor IPv6"},
    {Drop::kInnerLength, "inner_length", "the inner packet's length does not fit what arrived"},
    {Drop::kSourceNotAllowed, "source_not_allowed",
     "the inner source address belongs to another peer or to none"},
    {Drop::kOutboundNotIp, "outbound_not_ip", "a packet to be sent is no complete IP packet"},
    {Drop::kNoRoute, "no_route", "no peer's allowed-IPs cover the destination"},
    {Drop::kNoEndpoint, "no_endpoint", "the peer's address is not known yet"},
    {Drop::kTooLarge, "too_large", "a packet to be sent is longer than a datagram can carry"},
    {Drop::kStagedOverflow, "staged_overflow", "the oldest waiting packet made room for a newer one"},
    {Drop::kHandshakeGaveUp, "handshake_gave_up",
     "waiting packets were given up with a handshake that got no answer"},
    {Drop::kInterfaceDown, "interface_down", "waiting packets of an interface that was taken down"},
    {Drop::kPeerRemoved, "peer_removed", "waiting packets of a peer that was removed"},
};

constexpr bool every_drop_has_its_row() {
  if (std::size(kDescriptions) != kDropCount) return false;
  for (size_t index = 0; index < kDropCount; ++index) {
    if (kDescriptions[index].drop != static_cast<Drop>(index)) return false;
  }
  return true;
}
static_assert(every_drop_has_its_row(), "a row for every Drop, in the order of drop.h");

const Description& describe(Drop drop) noexcept {
  return kDescriptions[static_cast<size_t>(drop)];
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
