#include "vpn/core/node.h"

#include <algorithm>
#include <utility>

#include "vpn/base/check.h"
#include "vpn/base/endian.h"
#include "vpn/core/node_impl.h"

namespace vpn::core {
namespace {

constexpr size_t kMaxQueuedEvents = 4096;

}  // namespace

std::string_view node_error_meaning(NodeError error) noexcept {
  switch (error) {
    case NodeError::kOwnKey:
      return "the public key is this node's own";
    case NodeError::kPeerExists:
      return "a peer with this public key exists";
    case NodeError::kTooManyPeers:
      return "the limit of peers is reached";
  }
  return "unknown";
}

std::string_view event_name(EventKind kind) noexcept {
  switch (kind) {
    case EventKind::kHandshakeInitiated:
      return "handshake_initiated";
    case EventKind::kHandshakeCompleted:
      return "handshake_completed";
    case EventKind::kHandshakeFailed:
      return "handshake_failed";
    case EventKind::kHandshakeGaveUp:
      return "handshake_gave_up";
    case EventKind::kCookieReceived:
      return "cookie_received";
    case EventKind::kRoamed:
      return "roamed";
    case EventKind::kWentSilent:
      return "went_silent";
    case EventKind::kUnanswered:
      return "unanswered";
    case EventKind::kReconnected:
      return "reconnected";
    case EventKind::kSessionExpired:
      return "session_expired";
  }
  return "unknown";
}

// ── Impl: configuration ──

Node::Impl::Impl(crypto::AeadSet aeads, crypto::RandomSource& random, const NodeOptions& options, Now)
    : aeads_(std::move(aeads)),
      random_(&random),
      options_(options),
      gate_(random, options.handshakes_per_second) {
  std::array<uint8_t, sizeof jitter_state_> seed;
  random_->fill(seed);
  jitter_state_ = load_le<uint64_t>(seed.data());
}

size_t Node::Impl::KeyHash::operator()(const PublicKey& key) const noexcept {
  return static_cast<size_t>(load_le<uint64_t>(key.bytes.data()));
}

void Node::Impl::set_private_key(std::optional<Secret<32>> private_key, Now now) {
  std::optional<noise::LocalIdentity> identity;
  if (private_key && !private_key->is_zero()) identity.emplace(*private_key);
  // `wg syncconf` sets the key with every change of a peer: the sessions of a key that stays go on.
  const bool is_same = identity && identity_ ? identity->public_key() == identity_->public_key()
                                             : identity.has_value() == identity_.has_value();
  if (is_same) return;
  identity_ = std::move(identity);
  private_key_.reset();
  if (identity_) {
    private_key_.emplace(identity_->private_key());
    if (const auto self = peers_by_key_.find(identity_->public_key()); self != peers_by_key_.end())
      remove_peer(*self->second);
  }
  for (auto& [id, peer] : peers_) {
    peer->identity.pair_with(identity_ ? &*identity_ : nullptr);
    forget_pending(*peer);
    cancel(*peer, Timer::kRetransmitHandshake);
    peer->handshake_sent.reset();
    for (const auto& session : {peer->sessions.previous, peer->sessions.current, peer->sessions.next}) {
      if (session) session->bar_sending();
    }
    if (peer->persistent_keepalive.count() != 0 || !peer->staged.empty()) initiate_afresh(*peer, now);
  }
}

Result<PeerId, NodeError> Node::Impl::add_peer(const PublicKey& key, crypto::Suite suite) {
  if (identity_ && identity_->public_key() == key) return fail(NodeError::kOwnKey);
  if (peers_by_key_.contains(key)) return fail(NodeError::kPeerExists);
  if (peers_.size() >= options_.max_peers) return fail(NodeError::kTooManyPeers);
  const PeerId id{next_peer_id_++};
  auto peer = std::make_unique<Peer>(id, key, suite);
  {
    const Aside aside(*this);  // nobody else knows the peer yet
    peer->identity.pair_with(identity_ ? &*identity_ : nullptr);
  }
  peers_by_key_.emplace(key, peer.get());
  peers_.emplace(id, std::move(peer));
  return id;
}

void Node::Impl::remove_peer(Peer& peer) noexcept {
  drop_staged(peer, Drop::kPeerRemoved);
  forget_keys(peer);
  timer_queue_.remove(peer.queue_entry);
  for (const IpPrefix& prefix : peer.allowed_ips) prefixes_.remove(prefix, peer.id);
  peers_by_key_.erase(peer.identity.public_key());
  peers_.erase(peer.id);
}

// As Linux does: what would be sent later for what was going on is forgotten with it.
void Node::Impl::go_down() noexcept {
  is_down_ = true;
  outgoing_.clear();
  cookie_replies_.clear();
  for (auto& [id, peer] : peers_) {
    drop_staged(*peer, Drop::kInterfaceDown);
    forget_keys(*peer);
    peer->timers.cancel_all();
    peer->handshake_sent.reset();
    peer->unanswered_since.reset();
    peer->keepalive_wanted_again = false;
    peer->flush_queued = false;
    peer->initiation_queued = false;
    if (peer->endpoint) peer->endpoint->local.reset();
  }
}

void Node::Impl::come_up(Now now) {
  is_down_ = false;
  for (auto& [id, peer] : peers_) {
    const Duration interval = peer->persistent_keepalive;
    if (interval.count() != 0) arm(*peer, Timer::kPersistentKeepalive, now.monotonic + interval);
    if (interval.count() != 0 || !peer->staged.empty()) initiate_afresh(*peer, now);
  }
}

void Node::Impl::set_persistent_keepalive(Peer& peer, std::chrono::seconds interval, Now now) {
  const bool switched_on = peer.persistent_keepalive.count() == 0 && interval.count() != 0;
  peer.persistent_keepalive = interval;
  if (is_down_) return;
  if (interval.count() == 0) {
    cancel(peer, Timer::kPersistentKeepalive);
  } else {
    arm(peer, Timer::kPersistentKeepalive, now.monotonic + interval);
  }
  if (switched_on) send_keepalive(peer, now);
}

void Node::Impl::allow(Peer& peer, const IpPrefix& prefix) {
  const IpPrefix normal = prefix.normalized();
  const size_t known_count = prefixes_.size();
  const std::optional<PeerId> previous = prefixes_.insert(normal, peer.id);
  if (previous) std::erase(find(*previous)->allowed_ips, normal);
  if (previous || prefixes_.size() > known_count) peer.allowed_ips.push_back(normal);
}

void Node::Impl::disallow(Peer& peer, const IpPrefix& prefix) noexcept {
  const IpPrefix normal = prefix.normalized();
  if (prefixes_.remove(normal, peer.id)) std::erase(peer.allowed_ips, normal);
}

Peer* Node::Impl::find(PeerId id) noexcept {
  const auto found = peers_.find(id);
  return found == peers_.end() ? nullptr : found->second.get();
}

// ── Impl: time ──

void Node::Impl::handle_timeout(Now now) {
  while (TimerQueue::Entry* entry = timer_queue_.top()) {
    if (entry->key > now.monotonic) return;
    Peer& peer = *entry->owner;
    timer_queue_.remove(*entry);
    while (const auto due = peer.timers.take_due(now.monotonic)) fire(peer, *due, now);
    if (peer.timers.earliest() != Instant::max())
      timer_queue_.schedule(peer.queue_entry, peer.timers.earliest());
  }
}

void Node::Impl::fire(Peer& peer, Timer timer, Now now) {
  switch (timer) {
    case Timer::kRetransmitHandshake:
      retransmit(peer, now);
      break;
    case Timer::kSendKeepalive:
      send_keepalive(peer, now);
      if (std::exchange(peer.keepalive_wanted_again, false))
        arm(peer, Timer::kSendKeepalive, now.monotonic + kKeepaliveTimeout);
      break;
    case Timer::kNoAnswer:
      if (peer.endpoint) peer.endpoint->local.reset();
      if (!std::exchange(peer.silent, true)) emit(EventKind::kWentSilent, peer, now);
      initiate_afresh(peer, now);
      break;
    case Timer::kEraseKeys:
      erase_keys(peer, now);
      break;
    case Timer::kPersistentKeepalive:
      if (peer.persistent_keepalive.count() != 0) {
        arm(peer, Timer::kPersistentKeepalive, now.monotonic + peer.persistent_keepalive);
        send_keepalive(peer, now);
      }
      break;
  }
}

bool Node::Impl::refresh_source(Peer& peer, Now now) {
  if (!peer.endpoint) return false;
  peer.endpoint->local.reset();
  if (sendable(peer, now) == nullptr) return false;
  send_keepalive(peer, now);
  return true;
}

void Node::Impl::refresh_path(Peer& peer, Now now) {
  if (!peer.endpoint || refresh_source(peer, now)) return;
  const SessionSlots& sessions = peer.sessions;
  const bool had_session = sessions.previous || sessions.current || sessions.next;
  if (peer.pending || had_session || peer.persistent_keepalive.count() != 0) {
    reconnect(peer, now);
  }
}

void Node::Impl::reconnect(Peer& peer, Now now) {
  if (!peer.endpoint) return;
  peer.endpoint->local.reset();
  peer.handshake_sent.reset();
  initiate(peer, now);
  peer.attempts_began = now.monotonic - (kRekeyAttemptTime - kNoAnswerTimeout);
}

void Node::Impl::erase_keys(Peer& peer, Now now) {
  const bool held_keys = peer.sessions.previous || peer.sessions.current || peer.sessions.next;
  forget_keys(peer);
  if (held_keys) emit(EventKind::kSessionExpired, peer, now);
}

// ── Impl: shared ──

SessionIndex Node::Impl::make_index() {
  std::array<uint8_t, sizeof(uint32_t)> bytes;
  SessionIndex index;
  do {
    random_->fill(bytes);
    index.value = load_le<uint32_t>(bytes.data());
  } while (indices_.contains(index));
  return index;
}

void Node::Impl::install_session(SessionIndex index, const std::shared_ptr<Session>& session) {
  indices_[index] = IndexEntry{find(session->peer()), session};
}

void Node::Impl::drop_session(std::shared_ptr<Session>& slot) noexcept {
  if (!slot) return;
  indices_.erase(slot->local_index());
  slot.reset();
}

// Of every session, and of the handshake that would make another.
void Node::Impl::forget_keys(Peer& peer) noexcept {
  forget_pending(peer);
  drop_session(peer.sessions.previous);
  drop_session(peer.sessions.current);
  drop_session(peer.sessions.next);
}

void Node::Impl::arm(Peer& peer, Timer timer, Instant at) {
  peer.timers.arm(timer, at);
  timer_queue_.schedule(peer.queue_entry, at);
}

// Uniform in 0 … 333 ms. It only spreads messages, so a small generator (splitmix64) with a random seed is
// enough, and the system is not asked for every packet.
Duration Node::Impl::jitter() noexcept {
  jitter_state_ += 0x9e3779b97f4a7c15ULL;
  uint64_t mixed = jitter_state_;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
  mixed ^= mixed >> 31;
  return Duration(static_cast<Duration::rep>(mixed % static_cast<uint64_t>(kMaxJitter.count() + 1)));
}

// Any authenticated message went out: no keepalive is owed, and the persistent one starts its interval over.
void Node::Impl::note_sent(Peer& peer, Now now) {
  cancel(peer, Timer::kSendKeepalive);
  if (peer.persistent_keepalive.count() != 0)
    arm(peer, Timer::kPersistentKeepalive, now.monotonic + peer.persistent_keepalive);
}

// Any authenticated message came in: the peer is there.
void Node::Impl::note_received(Peer& peer, size_t datagram_bytes, Now now) {
  peer.received_bytes += datagram_bytes;
  cancel(peer, Timer::kNoAnswer);
  if (peer.persistent_keepalive.count() != 0)
    arm(peer, Timer::kPersistentKeepalive, now.monotonic + peer.persistent_keepalive);
  peer.unanswered_since.reset();
  const bool was_unanswered = std::exchange(peer.unanswered, false);
  if (std::exchange(peer.silent, false) || was_unanswered) emit(EventKind::kReconnected, peer, now);
}

void Node::Impl::follow_endpoint(Peer& peer, const Endpoint& from, Now now) {
  if (peer.endpoint == from) return;
  const bool moved = peer.endpoint && peer.endpoint->remote != from.remote;
  peer.endpoint = from;
  if (!moved) return;
  ++peer.roamed_count;
  emit(EventKind::kRoamed, peer, now);
}

void Node::Impl::emit(EventKind kind, const Peer& peer, Now now, std::optional<Drop> drop, bool initiator) {
  if (events_.size() >= kMaxQueuedEvents) events_.pop_front();
  events_.push_back(Event{kind, peer.id, now.monotonic, peer.endpoint, drop, initiator});
}

Node::Impl::Outgoing Node::Impl::make_outgoing(const Endpoint& to, uint8_t tos, std::optional<PeerId> peer,
                                               BytesView datagram) {
  Outgoing message;
  VPN_CHECK(datagram.size() <= message.bytes.size());
  message.to = to;
  message.tos = tos;
  message.peer = peer;
  message.length = datagram.size();
  copy_bytes(datagram, message.bytes);
  return message;
}

void Node::Impl::enqueue(const Endpoint& to, uint8_t tos, std::optional<PeerId> peer, BytesView datagram) {
  outgoing_.push_back(make_outgoing(to, tos, peer, datagram));
}

// ── Node ──

Node::Node(crypto::AeadSet aeads, crypto::RandomSource& random, const NodeOptions& options, Now now)
    : impl_(std::make_unique<Impl>(std::move(aeads), random, options, now)) {}
Node::~Node() = default;
Node::Node(Node&&) noexcept = default;
Node& Node::operator=(Node&&) noexcept = default;

void Node::share(DataLock& lock, crypto::AeadSet handshake_aeads) {
  impl_->handshake_aeads_ = std::move(handshake_aeads);
  impl_->lock_ = &lock;
}

void Node::set_private_key(std::optional<Secret<32>> private_key, Now now) {
  impl_->set_private_key(std::move(private_key), now);
}

const std::optional<Secret<32>>& Node::private_key() const noexcept {
  return impl_->private_key_;
}

std::optional<PublicKey> Node::public_key() const noexcept {
  if (!impl_->identity_) return std::nullopt;
  return impl_->identity_->public_key();
}

Result<PeerId, NodeError> Node::add_peer(const PublicKey& key, crypto::Suite suite, Now) {
  return impl_->add_peer(key, suite);
}

void Node::remove_peer(PeerId id) noexcept {
  if (Peer* peer = impl_->find(id)) impl_->remove_peer(*peer);
}

std::optional<PeerId> Node::find_peer(const PublicKey& key) const noexcept {
  const auto found = impl_->peers_by_key_.find(key);
  if (found == impl_->peers_by_key_.end()) return std::nullopt;
  return found->second->id;
}

std::vector<PeerId> Node::peers() const {
  std::vector<PeerId> ids;
  ids.reserve(impl_->peers_.size());
  for (const auto& [id, peer] : impl_->peers_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());  // ids are given in the order of addition
  return ids;
}

size_t Node::peer_count() const noexcept {
  return impl_->peers_.size();
}

void Node::set_preshared_key(PeerId id, const Secret<32>& key) {
  if (Peer* peer = impl_->find(id)) peer->identity.set_preshared_key(key);
}

void Node::set_endpoint(PeerId id, const Endpoint& endpoint, Now now) {
  Peer* peer = impl_->find(id);
  if (peer == nullptr) return;
  peer->endpoint = endpoint;
  // A keepalive that fell due while the peer had no address begins its handshake now.
  if (peer->persistent_keepalive.count() != 0 && Impl::sendable(*peer, now) == nullptr)
    impl_->initiate_afresh(*peer, now);
}

void Node::refresh_source(PeerId id, Now now) {
  if (Peer* peer = impl_->find(id)) impl_->refresh_source(*peer, now);
}

void Node::refresh_path(PeerId id, Now now) {
  if (Peer* peer = impl_->find(id)) impl_->refresh_path(*peer, now);
}

void Node::reconnect(PeerId id, Now now) {
  if (Peer* peer = impl_->find(id)) impl_->reconnect(*peer, now);
}

void Node::set_persistent_keepalive(PeerId id, std::chrono::seconds interval, Now now) {
  if (Peer* peer = impl_->find(id)) impl_->set_persistent_keepalive(*peer, interval, now);
}

void Node::set_suite(PeerId id, crypto::Suite suite) {
  if (Peer* peer = impl_->find(id)) peer->suite = suite;
}

void Node::set_rekey_limits(PeerId id, const RekeyLimits& limits) {
  Peer* peer = impl_->find(id);
  if (peer == nullptr) return;
  peer->rekey.after_time = std::clamp(limits.after_time, std::chrono::seconds(1),
                                      std::chrono::duration_cast<std::chrono::seconds>(kRekeyAfterTime));
  peer->rekey.after_bytes = limits.after_bytes;
  peer->rekey.after_messages = std::clamp<uint64_t>(limits.after_messages, 1, kRekeyAfterMessages);
}

void Node::allow(PeerId id, const IpPrefix& prefix) {
  if (Peer* peer = impl_->find(id)) impl_->allow(*peer, prefix);
}

void Node::disallow(PeerId id, const IpPrefix& prefix) noexcept {
  if (Peer* peer = impl_->find(id)) impl_->disallow(*peer, prefix);
}

void Node::clear_allowed(PeerId id) noexcept {
  Peer* peer = impl_->find(id);
  if (peer == nullptr) return;
  for (const IpPrefix& prefix : peer->allowed_ips) impl_->prefixes_.remove(prefix, id);
  peer->allowed_ips.clear();
}

void Node::set_mtu(uint16_t mtu) noexcept {
  impl_->options_.mtu = mtu;
}

void Node::go_down() noexcept {
  impl_->go_down();
}

void Node::come_up(Now now) {
  impl_->come_up(now);
}

std::optional<Instant> Node::poll_timeout() const noexcept {
  const TimerQueue::Entry* top = impl_->timer_queue_.top();
  if (top == nullptr) return std::nullopt;
  return top->key;
}

void Node::handle_timeout(Now now) {
  impl_->handle_timeout(now);
}

Result<Delivery, Drop> Node::receive_datagram(const Endpoint& from, uint8_t ecn, MutableBytes datagram,
                                              Now now) {
  Result<Delivery, Drop> result = impl_->receive_datagram(from, ecn, datagram, now);
  if (!result) count_drop(result.error());
  return result;
}

Result<std::optional<Transmit>, Drop> Node::send_packet(BytesView ip_packet, MutableBytes out, Now now) {
  Result<std::optional<Transmit>, Drop> result = impl_->send_packet(ip_packet, out, now);
  if (!result) count_drop(result.error());
  return result;
}

Result<std::optional<Node::SealReservation>, Drop> Node::reserve_outbound(const IpAddress& destination,
                                                                          size_t count, size_t datagram_bytes,
                                                                          Now now) {
  auto result = impl_->reserve_outbound(destination, count, datagram_bytes, now);
  if (!result) count_drop(result.error());
  return result;
}

Result<std::shared_ptr<const Session>, Drop> Node::find_receiver(SessionIndex index, Now now) {
  const auto found = impl_->find_receiver(index, now);
  if (!found) {
    count_drop(found.error());
    return fail(found.error());
  }
  return std::shared_ptr<const Session>(impl_->indices_.find(index)->second.session);
}

Result<Delivery, Drop> Node::commit_inbound(const Session& session, Counter counter, const Endpoint& from,
                                            uint8_t ecn, MutableBytes plain, size_t datagram_bytes, Now now) {
  // The session may have gone while a worker held it: its index then names nothing, or another.
  const auto found = impl_->find_receiver(session.local_index(), now);
  Result<Delivery, Drop> result = fail(Drop::kUnknownIndex);
  if (!found) {
    result = fail(found.error());
  } else if (*found == &session) {
    result = impl_->commit(**found, counter, from, ecn, plain, datagram_bytes, now);
  }
  if (!result) count_drop(result.error());
  return result;
}

size_t Node::sealed_bytes(size_t packet_bytes) const noexcept {
  return impl_->padded_bytes(packet_bytes) + wire::kDataOverheadBytes;
}

std::optional<Transmit> Node::poll_transmit(Now now) {
  return impl_->poll_transmit(now);
}

std::optional<Event> Node::poll_event() {
  if (impl_->events_.empty()) return std::nullopt;
  const Event event = impl_->events_.front();
  impl_->events_.pop_front();
  return event;
}

std::optional<EphemeralKey> Node::poll_ephemeral_key() {
  if (impl_->ephemeral_keys_.empty()) return std::nullopt;
  EphemeralKey key = std::move(impl_->ephemeral_keys_.front());
  impl_->ephemeral_keys_.pop_front();
  return key;
}

bool Node::has_transmits() const noexcept {
  return !impl_->outgoing_.empty() || !impl_->cookie_replies_.empty();
}

bool Node::has_events() const noexcept {
  return !impl_->events_.empty();
}

std::optional<PeerStatus> Node::status(PeerId id, Instant now) const {
  const Peer* peer = impl_->find(id);
  if (peer == nullptr) return std::nullopt;
  const auto session_status = [now](const std::shared_ptr<Session>& session) -> std::optional<SessionStatus> {
    if (!session) return std::nullopt;
    return SessionStatus{session->is_initiator(), session->local_index(), session->remote_index(),
                         now - session->created(), session->next_counter()};
  };
  PeerStatus status;
  status.id = id;
  status.public_key = peer->identity.public_key();
  status.preshared_key = peer->identity.preshared_key();
  status.has_preshared_key = !status.preshared_key.is_zero();
  status.suite = peer->suite;
  status.endpoint = peer->endpoint;
  status.persistent_keepalive = peer->persistent_keepalive;
  status.rekey = peer->rekey;
  status.last_handshake = peer->last_handshake;
  status.received_bytes = peer->received_bytes;
  status.sent_bytes = peer->sent_bytes;
  status.allowed_ips = peer->allowed_ips;
  status.previous = session_status(peer->sessions.previous);
  status.current = session_status(peer->sessions.current);
  status.next = session_status(peer->sessions.next);
  status.staged_packets = peer->staged.size();
  status.roamed_count = peer->roamed_count;
  return status;
}

std::optional<Endpoint> Node::endpoint_of(PeerId id) const noexcept {
  const Peer* const peer = impl_->find(id);
  return peer == nullptr ? std::nullopt : peer->endpoint;
}

const DropCounters& Node::drops() const noexcept {
  return impl_->drops_;
}

void Node::count_drop(Drop drop) noexcept {
  impl_->drops_.add(drop);
}

bool Node::under_load(Instant now) const noexcept {
  return impl_->gate_.under_load(now);
}

std::shared_ptr<Session> Node::current_session(PeerId id) const noexcept {
  const Peer* peer = impl_->find(id);
  return peer == nullptr ? nullptr : peer->sessions.current;
}

std::array<uint8_t, 12> Node::greatest_timestamp_sent() const noexcept {
  return impl_->greatest_timestamp_sent_;
}

void Node::restore_timestamp(const std::array<uint8_t, 12>& timestamp) noexcept {
  impl_->greatest_timestamp_sent_ = std::max(impl_->greatest_timestamp_sent_, timestamp);
}

}  // namespace vpn::core
