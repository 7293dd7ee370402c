// Data messages, in and out, and what is staged until a session stands.
#include <algorithm>
#include <utility>

#include "vpn/base/check.h"
#include "vpn/core/node_impl.h"
#include "vpn/wire/ip_packet.h"

namespace vpn::core {
namespace {

// Whatever its real length, the inner packet's ECN field is what the outer one starts with (RFC 6040 normal
// mode).
uint8_t outer_tos(uint8_t inner_ecn) noexcept {
  return inner_ecn & wire::kEcnMask;
}

}  // namespace

Result<Delivery, Drop> Node::Impl::receive_datagram(const Endpoint& from, uint8_t ecn, MutableBytes datagram,
                                                    Now now) {
  static_assert(wire::kFourMessages);
  const auto message = wire::parse(datagram);
  if (!message)
    return fail(message.error() == wire::ParseError::kBadLength ? Drop::kBadLength : Drop::kUnknownType);
  if (const auto* data = std::get_if<wire::Data>(&*message))
    return receive_data(*data, from, ecn, datagram, now);

  if (!identity_) return fail(Drop::kNoPrivateKey);
  if (const auto* cookie = std::get_if<wire::CookieReply>(&*message))
    return receive_cookie_reply(*cookie, now);
  if (const auto refusal = gate_.admit(datagram, identity_->mac1_key(), from.remote, now.monotonic)) {
    if (*refusal == Drop::kCookieRequired) send_cookie_reply(*message, from, now);
    return fail(*refusal);
  }
  if (const auto* initiation = std::get_if<wire::Initiation>(&*message)) {
    return receive_initiation(*initiation, from, datagram, now);
  }
  return receive_response(*std::get_if<wire::Response>(&*message), from, datagram, now);
}

Result<Delivery, Drop> Node::Impl::receive_data(const wire::Data& message, const Endpoint& from, uint8_t ecn,
                                                MutableBytes datagram, Now now) {
  const auto found = find_receiver(message.receiver, now);
  if (!found) return fail(found.error());
  Session& session = **found;
  if (message.counter >= kRejectAfterMessages) return fail(Drop::kCounterLimit);
  // A replay is not worth the decryption; the window is asked again, and marked, once the tag has verified.
  if (!session.window().would_accept(message.counter)) return fail(Drop::kReplayed);
  const auto plain = session.open(aeads_.of(session.suite()), message.counter, datagram);
  if (!plain) return fail(Drop::kDataAuth);
  return commit(session, message.counter, from, ecn, *plain, datagram.size(), now);
}

Result<Session*, Drop> Node::Impl::find_receiver(SessionIndex index, Now now) noexcept {
  const auto found = indices_.find(index);
  if (found == indices_.end()) return fail(Drop::kUnknownIndex);
  Session* session = found->second.session.get();
  if (session == nullptr) return fail(Drop::kWrongIndexKind);
  if (!session->may_receive(now.monotonic)) return fail(Drop::kSessionExpired);
  return session;
}

Result<Delivery, Drop> Node::Impl::commit(Session& session, Counter counter, const Endpoint& from,
                                          uint8_t ecn, MutableBytes plain, size_t datagram_bytes, Now now) {
  if (counter >= kRejectAfterMessages) return fail(Drop::kCounterLimit);
  if (!session.window().accept(counter)) return fail(Drop::kReplayed);
  Peer& peer = *find(session.peer());
  session.add_carried_bytes(datagram_bytes);
  follow_endpoint(peer, from, now);
  note_received(peer, datagram_bytes, now);
  confirm(peer, session, now);
  rekey_if_last_chance(peer, now);
  if (plain.empty()) return Delivery{peer.id, {}};  // a keepalive: nothing to deliver, and never answered

  if (peer.timers.is_armed(Timer::kSendKeepalive)) {
    peer.keepalive_wanted_again = true;
  } else {
    arm(peer, Timer::kSendKeepalive, now.monotonic + kKeepaliveTimeout);
  }
  const auto inner = wire::parse_ip_packet(plain);
  if (!inner) return fail(inner.error() == wire::IpError::kNotIp ? Drop::kInnerNotIp : Drop::kInnerLength);
  if (prefixes_.find(inner->source) != peer.id) return fail(Drop::kSourceNotAllowed);
  wire::apply_outer_ecn(plain, ecn);
  return Delivery{peer.id, plain.first(inner->length)};
}

void Node::Impl::confirm(Peer& peer, const Session& session, Now now) {
  SessionSlots& slots = peer.sessions;
  if (&session == slots.next.get()) {
    drop_session(slots.previous);
    slots.previous = std::move(slots.current);
    slots.current = std::move(slots.next);
    slots.next.reset();
    complete_handshake(peer, /*initiator=*/false, now);
    if (!peer.staged.empty()) queue_flush(peer);
    return;
  }
  // Both ends initiated at once and each completed its own handshake: traffic would go on in two sessions,
  // and be rekeyed twice, for ever. Both ends change over to the one that the end with the greater key
  // initiated, each when it sees that the other has it. That is soon, or never: what comes late was held
  // back, and the other end may have forgotten its session since.
  if (&session != slots.previous.get() || !slots.current || !identity_) return;
  const bool greater = peer.identity.public_key() < identity_->public_key();
  const Duration apart = slots.current->created() - session.created();
  const bool crossed = session.is_initiator() == greater && slots.current->is_initiator() != greater &&
                       std::chrono::abs(apart) < kRekeyTimeout && session.may_send(now.monotonic) &&
                       now.monotonic - slots.current->created() < kRekeyTimeout;
  if (crossed) std::swap(slots.previous, slots.current);
}

// The initiator of a session that is about to end makes a new one while it still receives, once.
void Node::Impl::rekey_if_last_chance(Peer& peer, Now now) {
  const Session* current = peer.sessions.current.get();
  if (peer.last_chance_taken || current == nullptr || !current->is_initiator()) return;
  if (now.monotonic - current->created() < kLastChanceRekeyTime) return;
  peer.last_chance_taken = true;
  initiate_afresh(peer, now);
}

Result<Peer*, Drop> Node::Impl::route(const IpAddress& destination) noexcept {
  const auto owner = prefixes_.find(destination);
  if (!owner) return fail(Drop::kNoRoute);
  Peer* peer = find(*owner);
  if (!identity_) return fail(Drop::kNoPrivateKey);
  if (!peer->identity.static_static()) return fail(Drop::kLowOrderKey);
  if (!peer->endpoint) return fail(Drop::kNoEndpoint);
  return peer;
}

Session* Node::Impl::sendable(Peer& peer, Now now) noexcept {
  Session* session = peer.sessions.current.get();
  return session != nullptr && session->may_send(now.monotonic) ? session : nullptr;
}

// Zeros up to a multiple of 16, but never past the MTU; of a packet longer than that only the last part is
// looked at.
size_t Node::Impl::padded_bytes(size_t packet_bytes) const noexcept {
  const size_t mtu = options_.mtu;
  const size_t last_unit = mtu != 0 && packet_bytes > mtu ? packet_bytes % mtu : packet_bytes;
  size_t padded_unit = (last_unit + kPaddingMultiple - 1) / kPaddingMultiple * kPaddingMultiple;
  if (mtu != 0) padded_unit = std::min(padded_unit, std::max(mtu, last_unit));
  return packet_bytes + (padded_unit - last_unit);
}

Result<std::optional<Transmit>, Drop> Node::Impl::send_packet(BytesView ip_packet, MutableBytes out,
                                                              Now now) {
  const auto inner = wire::parse_ip_packet(ip_packet);
  if (!inner) return fail(Drop::kOutboundNotIp);
  const BytesView packet = ip_packet.first(inner->length);
  const size_t datagram_bytes = padded_bytes(packet.size()) + wire::kDataOverheadBytes;
  if (datagram_bytes > wire::kMaxUdpPayloadBytes) return fail(Drop::kTooLarge);
  const auto routed = route(inner->destination);
  if (!routed) return fail(routed.error());
  Peer& peer = **routed;

  Session* session = sendable(peer, now);
  if (session == nullptr || !peer.staged.empty()) {  // nothing may overtake what already waits
    stage(peer, packet, inner->ecn);
    if (session == nullptr) {
      initiate_afresh(peer, now);
    } else {
      queue_flush(peer);
    }
    return std::optional<Transmit>{};
  }
  VPN_CHECK(out.size() >= datagram_bytes);
  return seal(peer, *session, packet, inner->ecn, out.first(datagram_bytes), now);
}

Transmit Node::Impl::seal(Peer& peer, Session& session, BytesView packet, uint8_t ecn, MutableBytes datagram,
                          Now now) {
  const Counter counter = *session.reserve_counters(1);
  const MutableBytes plain =
      datagram.subspan(wire::kDataHeaderBytes, datagram.size() - wire::kDataOverheadBytes);
  copy_bytes(packet, plain);
  std::memset(plain.data() + packet.size(), 0, plain.size() - packet.size());
  session.seal(aeads_.of(session.suite()), counter, plain, datagram);
  account_sent(peer, session, datagram.size(), /*carries_data=*/true, now);
  return Transmit{*peer.endpoint, outer_tos(ecn), peer.id, datagram};
}

Result<std::optional<Node::SealReservation>, Drop> Node::Impl::reserve_outbound(const IpAddress& destination,
                                                                                size_t count,
                                                                                size_t datagram_bytes,
                                                                                Now now) {
  const auto routed = route(destination);
  if (!routed) return fail(routed.error());
  Peer& peer = **routed;
  if (sendable(peer, now) == nullptr || !peer.staged.empty()) return std::optional<SealReservation>{};
  const std::shared_ptr<Session>& session = peer.sessions.current;
  const auto first = session->reserve_counters(count);
  if (!first) return std::optional<SealReservation>{};
  account_sent(peer, *session, datagram_bytes, /*carries_data=*/true, now);
  return std::optional(SealReservation{session, *first, *peer.endpoint, peer.id});
}

void Node::Impl::account_sent(Peer& peer, Session& session, size_t datagram_bytes, bool carries_data,
                              Now now) {
  peer.sent_bytes += datagram_bytes;
  session.add_carried_bytes(datagram_bytes);
  note_sent(peer, now);
  if (carries_data && !peer.timers.is_armed(Timer::kNoAnswer)) {
    arm(peer, Timer::kNoAnswer, now.monotonic + kNoAnswerTimeout + jitter());
  }
  const bool by_messages = session.next_counter() > peer.rekey.after_messages;
  const bool by_bytes = peer.rekey.after_bytes != 0 && session.carried_bytes() >= peer.rekey.after_bytes;
  const bool by_time = session.is_initiator() && now.monotonic - session.created() >= peer.rekey.after_time;
  if (by_messages || by_bytes || by_time) initiate_afresh(peer, now);
}

void Node::Impl::stage(Peer& peer, BytesView packet, uint8_t ecn) {
  if (peer.staged.size() >= kMaxStagedPackets) {
    peer.staged.pop_front();
    drops_.add(Drop::kStagedOverflow);
  }
  peer.staged.push_back(StagedPacket{{packet.begin(), packet.end()}, ecn});
}

void Node::Impl::drop_staged(Peer& peer, Drop reason) noexcept {
  drops_.add(reason, peer.staged.size());
  peer.staged.clear();
}

void Node::Impl::queue_flush(Peer& peer) {
  if (std::exchange(peer.flush_queued, true)) return;
  outgoing_.emplace_back().peer = peer.id;
}

void Node::Impl::send_keepalive(Peer& peer, Now now) {
  Session* session = sendable(peer, now);
  if (session == nullptr || !peer.endpoint) {
    initiate_afresh(peer, now);
    return;
  }
  if (!peer.staged.empty()) {
    queue_flush(peer);
    return;
  }
  std::array<uint8_t, wire::kKeepaliveBytes> datagram;
  session->seal(aeads_.of(session->suite()), *session->reserve_counters(1), {}, datagram);
  enqueue(*peer.endpoint, 0, peer.id, datagram);
  account_sent(peer, *session, datagram.size(), /*carries_data=*/false, now);
}

// The message in front of a queue.
Transmit Node::Impl::take_message(std::deque<Outgoing>& queue) {
  last_outgoing_ = queue.front();
  queue.pop_front();
  return Transmit{last_outgoing_.to, last_outgoing_.tos, last_outgoing_.peer,
                  BytesView(last_outgoing_.bytes).first(last_outgoing_.length)};
}

std::optional<Transmit> Node::Impl::poll_transmit(Now now) {
  while (!outgoing_.empty()) {
    const Outgoing& front = outgoing_.front();
    if (front.length != 0) return take_message(outgoing_);
    Peer* peer = find(*front.peer);
    if (front.initiate) {
      outgoing_.pop_front();
      if (peer != nullptr) create_initiation(*peer, now);
      continue;
    }
    Session* session = peer == nullptr ? nullptr : sendable(*peer, now);
    if (session == nullptr || peer->staged.empty() || !peer->endpoint) {
      if (peer != nullptr) peer->flush_queued = false;
      outgoing_.pop_front();
      if (peer != nullptr && !peer->staged.empty()) initiate_afresh(*peer, now);
      continue;
    }
    const StagedPacket staged = std::move(peer->staged.front());
    peer->staged.pop_front();
    flush_buffer_.resize(padded_bytes(staged.bytes.size()) + wire::kDataOverheadBytes);
    return seal(*peer, *session, staged.bytes, staged.ecn, flush_buffer_, now);
  }
  if (cookie_replies_.empty()) return std::nullopt;
  return take_message(cookie_replies_);
}

}  // namespace vpn::core
