// The inside of Node, shared by the three files that implement it: node.cc (configuration, time, reading),
// node_handshake.cc (handshake messages), node_data.cc (data messages).
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "vpn/core/constants.h"
#include "vpn/core/handshake_gate.h"
#include "vpn/core/node.h"
#include "vpn/core/peer.h"
#include "vpn/core/prefix_table.h"
#include "vpn/wire/messages.h"

namespace vpn::core {

// What Node is made of, for the three files that share it. Where Node has a function of the same name, that
// one says what it means; here ids are peers already, and drops are not counted yet.
class Node::Impl {
 public:
  Impl(crypto::AeadSet aeads, crypto::RandomSource& random, const NodeOptions& options, Now now);

  // ── Configuration: node.cc ──
  void set_private_key(std::optional<Secret<32>> private_key, Now now);
  Result<PeerId, NodeError> add_peer(const PublicKey& key, crypto::Suite suite);
  void remove_peer(Peer& peer) noexcept;
  void set_persistent_keepalive(Peer& peer, std::chrono::seconds interval, Now now);
  void allow(Peer& peer, const IpPrefix& prefix);
  void disallow(Peer& peer, const IpPrefix& prefix) noexcept;
  Peer* find(PeerId id) noexcept;
  void go_down() noexcept;
  void come_up(Now now);

  // ── Time: node.cc ──
  void handle_timeout(Now now);
  void fire(Peer& peer, Timer timer, Now now);
  void erase_keys(Peer& peer, Now now);
  bool refresh_source(Peer& peer, Now now);  // whether the peer hears of it
  void refresh_path(Peer& peer, Now now);
  void reconnect(Peer& peer, Now now);

  // ── Datagrams, by their first byte: node_data.cc ──
  Result<Delivery, Drop> receive_datagram(const Endpoint& from, uint8_t ecn, MutableBytes datagram, Now now);

  // ── Handshake messages: node_handshake.cc ──
  Result<Delivery, Drop> receive_initiation(const wire::Initiation& message, const Endpoint& from,
                                            BytesView datagram, Now now);
  Result<Delivery, Drop> receive_response(const wire::Response& message, const Endpoint& from,
                                          BytesView datagram, Now now);
  Result<Delivery, Drop> receive_cookie_reply(const wire::CookieReply& message, Now now);
  void send_cookie_reply(const wire::Message& message, const Endpoint& from, Now now);
  void complete_handshake(Peer& peer, bool initiator, Now now);
  // A fresh private key for one message to `peer`.
  Secret<32> make_ephemeral(const Peer& peer);
  // Has an initiation made by the next poll_transmit(), unless one, or a response, was sent within
  // REKEY_TIMEOUT; then it is made up for later.
  void initiate(Peer& peer, Now now);
  [[nodiscard]] bool may_initiate(Peer& peer, Now now);
  // Makes it.
  void create_initiation(Peer& peer, Now now);
  // The same on behalf of new traffic: the time allowed for attempts starts over.
  void initiate_afresh(Peer& peer, Now now);
  void retransmit(Peer& peer, Now now);
  [[nodiscard]] noise::Timestamp timestamp_for(const Peer& peer, Now now) const noexcept;
  void forget_pending(Peer& peer) noexcept;
  void forget_keys(Peer& peer) noexcept;

  // ── Data messages: node_data.cc ──
  Result<Delivery, Drop> receive_data(const wire::Data& message, const Endpoint& from, uint8_t ecn,
                                      MutableBytes datagram, Now now);
  Result<Delivery, Drop> commit(Session& session, Counter counter, const Endpoint& from, uint8_t ecn,
                                MutableBytes plain, size_t datagram_bytes, Now now);
  Result<Session*, Drop> find_receiver(SessionIndex index, Now now) noexcept;
  // What an authentic message on `session` proves: that the peer has it.
  void confirm(Peer& peer, const Session& session, Now now);
  void rekey_if_last_chance(Peer& peer, Now now);
  Result<std::optional<Transmit>, Drop> send_packet(BytesView ip_packet, MutableBytes out, Now now);
  // Seals one packet; `datagram` has exactly its padded size and the overhead, the session may send.
  Transmit seal(Peer& peer, Session& session, BytesView packet, uint8_t ecn, MutableBytes datagram, Now now);
  Result<std::optional<SealReservation>, Drop> reserve_outbound(const IpAddress& destination, size_t count,
                                                                size_t datagram_bytes, Now now);
  Result<Peer*, Drop> route(const IpAddress& destination) noexcept;
  // The session that `peer` may send on now, or null.
  static Session* sendable(Peer& peer, Now now) noexcept;
  void stage(Peer& peer, BytesView packet, uint8_t ecn);
  void drop_staged(Peer& peer, Drop reason) noexcept;
  void queue_flush(Peer& peer);
  // An empty message, or what is staged; begins a handshake when neither can be sent.
  void send_keepalive(Peer& peer, Now now);
  // Whatever sending data messages means to timers, limits and counts.
  void account_sent(Peer& peer, Session& session, size_t datagram_bytes, bool carries_data, Now now);
  std::optional<Transmit> poll_transmit(Now now);
  [[nodiscard]] size_t padded_bytes(size_t packet_bytes) const noexcept;

  // ── Shared: node.cc ──
  SessionIndex make_index();
  void install_session(SessionIndex index, const std::shared_ptr<Session>& session);
  void drop_session(std::shared_ptr<Session>& slot) noexcept;
  void arm(Peer& peer, Timer timer, Instant at);
  void cancel(Peer& peer, Timer timer) noexcept { peer.timers.cancel(timer); }
  Duration jitter() noexcept;
  void note_sent(Peer& peer, Now now);
  void note_received(Peer& peer, size_t datagram_bytes, Now now);
  void follow_endpoint(Peer& peer, const Endpoint& from, Now now);
  void emit(EventKind kind, const Peer& peer, Now now, std::optional<Drop> drop = std::nullopt,
            bool initiator = false);
  struct Outgoing;
  static Outgoing make_outgoing(const Endpoint& to, uint8_t tos, std::optional<PeerId> peer,
                                BytesView datagram);
  void enqueue(const Endpoint& to, uint8_t tos, std::optional<PeerId> peer, BytesView datagram);
  Transmit take_message(std::deque<Outgoing>& queue);

  // A message to be sent, or (no bytes) the order to send what is staged for the peer, or to make an
  // initiation.
  struct Outgoing {
    bool initiate = false;
    Endpoint to;
    uint8_t tos = 0;
    std::optional<PeerId> peer;
    size_t length = 0;
    std::array<uint8_t, wire::kInitiationBytes> bytes{};
  };
  // Whom one of our indices stands for: a session, or (null) the peer's pending initiation.
  struct IndexEntry {
    Peer* peer = nullptr;
    std::shared_ptr<Session> session;
  };
  // While it exists, other threads may use the data path. Nothing that they change may be read meanwhile, and
  // must be looked at anew after it; peers, keys and identities stay, as they change in calls of other kinds.
  class Aside {
   public:
    explicit Aside(const Impl& node) noexcept : lock_(node.lock_) {
      if (lock_ != nullptr) lock_->unlock();
    }
    ~Aside() {
      if (lock_ != nullptr) lock_->lock();
    }
    Aside(const Aside&) = delete;
    Aside& operator=(const Aside&) = delete;

   private:
    DataLock* lock_;
  };
  // What handshake messages are sealed and opened with: not what the data path may be using meanwhile.
  [[nodiscard]] const crypto::AeadSet& handshake_aeads() const noexcept {
    return lock_ != nullptr ? handshake_aeads_ : aeads_;
  }
  struct KeyHash {
    size_t operator()(const PublicKey& key) const noexcept;
  };

  crypto::AeadSet aeads_;
  DataLock* lock_ = nullptr;         // of a node that several threads use
  crypto::AeadSet handshake_aeads_;  // beside aeads_, which the data path may be using
  crypto::RandomSource* random_;
  NodeOptions options_;
  std::optional<noise::LocalIdentity> identity_;
  std::optional<Secret<32>> private_key_;
  HandshakeGate gate_;

  std::unordered_map<PeerId, std::unique_ptr<Peer>> peers_;
  std::unordered_map<PublicKey, Peer*, KeyHash> peers_by_key_;
  std::unordered_map<SessionIndex, IndexEntry> indices_;
  PrefixTable prefixes_;
  TimerQueue timer_queue_;
  bool is_down_ = false;  // nothing may be sent, so that nothing is to be begun
  uint32_t next_peer_id_ = 1;
  uint64_t jitter_state_ = 0;

  std::deque<Outgoing> outgoing_;
  std::deque<Outgoing> cookie_replies_;  // strangers ask for them: they wait behind all else
  Outgoing last_outgoing_;               // what the last poll_transmit() handed out a view of
  std::vector<uint8_t> flush_buffer_;    // the same for a staged packet
  std::deque<Event> events_;
  std::deque<EphemeralKey> ephemeral_keys_;
  DropCounters drops_;
  noise::Timestamp greatest_timestamp_sent_{};
};

}  // namespace vpn::core
