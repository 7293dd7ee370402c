// Handshake messages: what a Node does with an initiation, a response and a cookie reply, and when it sends
// its own.
#include <algorithm>
#include <utility>

#include "vpn/base/check.h"
#include "vpn/core/node_impl.h"
#include "vpn/crypto/x25519.h"
#include "vpn/noise/cookie.h"
#include "vpn/noise/handshake.h"

namespace vpn::core {
namespace {

constexpr size_t kMaxReportedKeys = 4096;

Drop drop_of(noise::HandshakeError error) noexcept {
  return error == noise::HandshakeError::kLowOrderKey ? Drop::kLowOrderKey : Drop::kHandshakeAuth;
}

Session::Keys session_keys(crypto::Aead& aead, const noise::TransportKeys& keys) noexcept {
  return {aead.make_key(keys.send), aead.make_key(keys.receive)};
}

// The cookie to prove our address with, unless its secret may be gone by the time the message arrives.
const noise::Cookie* fresh_cookie(const Peer& peer, Instant now) noexcept {
  const bool fresh = peer.cookie && now - peer.cookie_received < kCookieSecretLifetime - kCookieLatency;
  return fresh ? &*peer.cookie : nullptr;
}

// Writes the MACs and remembers mac1, which a cookie reply must name.
void authenticate(Peer& peer, MutableBytes message, Instant now) noexcept {
  noise::write_macs(message, peer.identity.mac1_key(), fresh_cookie(peer, now));
  crypto::Mac mac1;
  copy_bytes(message.last(wire::kMacsBytes).first(wire::kMacBytes), mac1);
  peer.last_mac1 = mac1;
}

}  // namespace

Secret<32> Node::Impl::make_ephemeral(const Peer& peer) {
  Secret<32> key;
  random_->fill(key.mutable_view());
  if (options_.report_ephemeral_keys) {
    if (ephemeral_keys_.size() >= kMaxReportedKeys) ephemeral_keys_.pop_front();
    crypto::clamp(ephemeral_keys_.emplace_back(EphemeralKey{peer.id, key}).private_key.mutable_view());
  }
  return key;
}

Result<Delivery, Drop> Node::Impl::receive_initiation(const wire::Initiation& message, const Endpoint& from,
                                                      BytesView datagram, Now now) {
  // Everything up to the checks of the timestamp works on copies: nothing changes before the initiator is
  // known to hold its key and not to be a replay.
  const auto opened = [&] {
    const Aside aside(*this);
    return noise::open_initiation(handshake_aeads(), *identity_, message);
  }();
  if (!opened) return fail(drop_of(opened.error()));
  const auto found = peers_by_key_.find(opened->remote_static);
  if (found == peers_by_key_.end()) return fail(Drop::kUnknownPeer);
  Peer& peer = *found->second;
  const auto state = noise::authenticate_initiation(handshake_aeads(), *opened, peer.identity, message);
  if (!state) return fail(drop_of(state.error()));
  if (peer.greatest_received && state->timestamp <= *peer.greatest_received) return fail(Drop::kOldTimestamp);
  if (peer.initiation_accepted && now.monotonic - *peer.initiation_accepted < kMinInitiationSpacing) {
    return fail(Drop::kInitiationTooSoon);
  }
  peer.greatest_received = state->timestamp;
  peer.initiation_accepted = now.monotonic;
  if (state->suite != peer.suite) {
    emit(EventKind::kHandshakeFailed, peer, now, Drop::kWrongSuite);
    return fail(Drop::kWrongSuite);
  }

  const SessionIndex index = make_index();
  std::array<uint8_t, wire::kResponseBytes> response;
  const Secret<32> ephemeral = make_ephemeral(peer);
  const auto keys = [&] {
    const Aside aside(*this);
    return noise::create_response(handshake_aeads(), *state, peer.identity, ephemeral, index, response);
  }();
  if (!keys) return fail(drop_of(keys.error()));

  // We may not send on the session before the initiator has shown that it has it too. What was unconfirmed or
  // previous before makes room; `current` goes on until then.
  auto session =
      std::make_shared<Session>(peer.id, /*initiator=*/false, index, state->remote, state->suite,
                                session_keys(handshake_aeads().of(state->suite), *keys), now.monotonic);
  drop_session(peer.sessions.next);
  drop_session(peer.sessions.previous);
  install_session(index, session);
  peer.sessions.next = std::move(session);

  follow_endpoint(peer, from, now);
  note_received(peer, datagram.size(), now);
  authenticate(peer, response, now.monotonic);
  enqueue(*peer.endpoint, kHandshakeTos, peer.id, response);
  peer.sent_bytes += response.size();
  peer.handshake_sent = now.monotonic;
  note_sent(peer, now);
  arm(peer, Timer::kEraseKeys, now.monotonic + kKeyErasureTime);
  return Delivery{peer.id, {}};
}

Result<Delivery, Drop> Node::Impl::receive_response(const wire::Response& message, const Endpoint& from,
                                                    BytesView datagram, Now now) {
  const auto found = indices_.find(message.receiver);
  if (found == indices_.end()) return fail(Drop::kUnknownIndex);
  if (found->second.session) {
    // The index of an initiation that was answered already, or of a session in which we never were the
    // initiator.
    return fail(found->second.session->is_initiator() ? Drop::kUnexpectedResponse : Drop::kWrongIndexKind);
  }
  Peer& peer = *found->second.peer;
  const noise::InitiatorState& pending = *peer.pending;
  const auto keys = [&] {
    const Aside aside(*this);
    return noise::consume_response(handshake_aeads(), pending, *identity_, peer.identity, message);
  }();
  if (!keys) {
    if (!peer.failure_reported)
      emit(EventKind::kHandshakeFailed, peer, now, drop_of(keys.error()), /*initiator=*/true);
    peer.failure_reported = true;
    return fail(drop_of(keys.error()));
  }

  auto session =
      std::make_shared<Session>(peer.id, /*initiator=*/true, pending.local, message.sender, pending.suite,
                                session_keys(handshake_aeads().of(pending.suite), *keys), now.monotonic);
  peer.pending.reset();
  install_session(session->local_index(), session);
  SessionSlots& slots = peer.sessions;
  drop_session(slots.previous);
  // With a young `next` both ends initiated at once. Until our response reaches the peer it goes on sending
  // on `current`, and then on `next`: both must be there to receive. An old one that is older than `current`
  // is what a crossing left: the peer never took it, and sends on `current`.
  const bool is_next_old = slots.next && now.monotonic - slots.next->created() >= kRekeyTimeout;
  if (is_next_old && (!slots.current || slots.next->created() > slots.current->created())) {
    slots.previous = std::move(slots.next);
    slots.next.reset();
    drop_session(slots.current);
  } else {
    if (is_next_old) drop_session(slots.next);
    slots.previous = std::move(slots.current);
  }
  slots.current = std::move(session);

  follow_endpoint(peer, from, now);
  note_received(peer, datagram.size(), now);
  arm(peer, Timer::kEraseKeys, now.monotonic + kKeyErasureTime);
  complete_handshake(peer, /*initiator=*/true, now);
  // The responder may not send until it hears from us: what is staged, or an empty message, tells it.
  send_keepalive(peer, now);
  return Delivery{peer.id, {}};
}

void Node::Impl::complete_handshake(Peer& peer, bool initiator, Now now) {
  cancel(peer, Timer::kRetransmitHandshake);
  peer.last_chance_taken = false;
  peer.last_handshake = now.wall;
  emit(EventKind::kHandshakeCompleted, peer, now, std::nullopt, initiator);
}

Result<Delivery, Drop> Node::Impl::receive_cookie_reply(const wire::CookieReply& message, Now now) {
  const auto found = indices_.find(message.receiver);
  if (found == indices_.end()) return fail(Drop::kUnknownIndex);
  Peer& peer = *found->second.peer;
  if (!peer.last_mac1) return fail(Drop::kUnexpectedCookie);
  auto cookie = noise::open_cookie_reply(peer.identity.cookie_key(), *peer.last_mac1, message);
  if (!cookie) return fail(Drop::kBadCookie);
  peer.cookie = std::move(cookie);
  peer.cookie_received = now.monotonic;
  peer.last_mac1.reset();
  emit(EventKind::kCookieReceived, peer, now);
  return Delivery{peer.id, {}};
}

// An answer of 64 bytes to 148 or 92, to nobody known: no state is kept of it, and in a flood that is faster
// than they can be sent, the rest is met with silence.
void Node::Impl::send_cookie_reply(const wire::Message& message, const Endpoint& from, Now now) {
  if (cookie_replies_.size() >= kMaxQueuedCookieReplies) return;
  const auto* initiation = std::get_if<wire::Initiation>(&message);
  const auto* response = std::get_if<wire::Response>(&message);
  VPN_CHECK(initiation != nullptr || response != nullptr);
  std::array<uint8_t, crypto::kXNonceBytes> nonce;
  random_->fill(nonce);
  std::array<uint8_t, wire::kCookieReplyBytes> reply;
  noise::create_cookie_reply(identity_->cookie_key(), gate_.cookie_for(from.remote, now.monotonic), nonce,
                             initiation != nullptr ? initiation->sender : response->sender,
                             initiation != nullptr ? initiation->mac1 : response->mac1, reply);
  cookie_replies_.push_back(make_outgoing(from, kHandshakeTos, std::nullopt, reply));
}

void Node::Impl::initiate_afresh(Peer& peer, Now now) {
  peer.attempts_began = now.monotonic;
  initiate(peer, now);
}

void Node::Impl::initiate(Peer& peer, Now now) {
  if (!may_initiate(peer, now)) return;
  if (std::exchange(peer.initiation_queued, true)) return;
  Outgoing& order = outgoing_.emplace_back();
  order.initiate = true;
  order.peer = peer.id;
}

// False also when it is too soon after another handshake message; it is then made up for by a timer.
bool Node::Impl::may_initiate(Peer& peer, Now now) {
  if (is_down_ || !identity_ || !peer.endpoint) return false;
  if (!peer.handshake_sent || now.monotonic - *peer.handshake_sent >= kRekeyTimeout) return true;
  if (!peer.timers.is_armed(Timer::kRetransmitHandshake)) {
    arm(peer, Timer::kRetransmitHandshake, *peer.handshake_sent + kRekeyTimeout + jitter());
  }
  return false;
}

void Node::Impl::create_initiation(Peer& peer, Now now) {
  peer.initiation_queued = false;
  if (!may_initiate(peer, now)) return;  // since it was asked for, we may have answered the peer's own
  const noise::Timestamp timestamp = timestamp_for(peer, now);
  const SessionIndex index = make_index();
  const Secret<32> ephemeral = make_ephemeral(peer);
  std::array<uint8_t, wire::kInitiationBytes> initiation;
  auto state = [&] {
    const Aside aside(*this);
    return noise::create_initiation(handshake_aeads(), peer.suite, *identity_, peer.identity, ephemeral,
                                    index, timestamp, initiation);
  }();
  if (!state) return;  // a key of small order: not a packet leaves
  peer.greatest_sent = timestamp;
  greatest_timestamp_sent_ = std::max(greatest_timestamp_sent_, timestamp);

  forget_pending(peer);
  peer.pending = std::move(*state);
  peer.failure_reported = false;
  indices_[index] = IndexEntry{&peer, nullptr};

  authenticate(peer, initiation, now.monotonic);
  enqueue(*peer.endpoint, kHandshakeTos, peer.id, initiation);
  peer.sent_bytes += initiation.size();
  peer.handshake_sent = now.monotonic;
  if (!peer.unanswered_since) peer.unanswered_since = now.monotonic;
  note_sent(peer, now);
  arm(peer, Timer::kRetransmitHandshake, now.monotonic + kRekeyTimeout + jitter());
  emit(EventKind::kHandshakeInitiated, peer, now, std::nullopt, /*initiator=*/true);
}

// Later than every stamp this peer was sent. One that we know of none may have been removed and added again,
// and still know our old ones: when the wall clock is behind what we ever sent to anybody, it gets that,
// which is later than any of its own. Stamps need to rise peer by peer alone: with one step for all together,
// many initiations a second would run ahead of a clock that was set back, and never be caught up with.
noise::Timestamp Node::Impl::timestamp_for(const Peer& peer, Now now) const noexcept {
  const noise::Timestamp wall = noise::make_timestamp(now.wall);
  if (peer.greatest_sent) {
    return std::max({wall, greatest_timestamp_sent_, noise::next_timestamp(*peer.greatest_sent)});
  }
  return wall < greatest_timestamp_sent_ ? noise::next_timestamp(greatest_timestamp_sent_) : wall;
}

void Node::Impl::retransmit(Peer& peer, Now now) {
  const bool is_overdue = peer.unanswered_since && now.monotonic - *peer.unanswered_since >= kNoAnswerTimeout;
  if (is_overdue && !std::exchange(peer.unanswered, true)) emit(EventKind::kUnanswered, peer, now);
  if (now.monotonic - peer.attempts_began < kRekeyAttemptTime) {
    if (peer.endpoint)
      peer.endpoint->local.reset();  // perhaps our address changed: let the kernel choose again
    initiate(peer, now);
    return;
  }
  cancel(peer, Timer::kSendKeepalive);
  drop_staged(peer, Drop::kHandshakeGaveUp);
  forget_pending(peer);
  if (!peer.timers.is_armed(Timer::kEraseKeys)) arm(peer, Timer::kEraseKeys, now.monotonic + kKeyErasureTime);
  peer.silent = true;
  emit(EventKind::kHandshakeGaveUp, peer, now, std::nullopt, /*initiator=*/true);
}

void Node::Impl::forget_pending(Peer& peer) noexcept {
  if (!peer.pending) return;
  indices_.erase(peer.pending->local);
  peer.pending.reset();
}

}  // namespace vpn::core
