// Node: the whole of the WireGuard protocol for one interface, without a socket, a clock or randomness of its
// own.
//
// How it is driven:
//   - every call takes the time; monotonic time must not go backwards from call to call;
//   - datagrams go in by receive_datagram(), inner packets by send_packet(); what those calls return is
//   handled first,
//     then poll_transmit() is drained until it is empty, then poll_event();
//   - handle_timeout() is called at poll_timeout() or later. Early or extra calls do nothing.
//
// Ownership: nothing of the caller's is kept after a call returns; views the Node hands out are valid until
// its next non-const call, except those into buffers the caller passed in. One thread at a time, or several
// as share() says.
//
// Data path: no call of it allocates or throws once a session stands. Splitting a packet's way into reserve →
// seal and find → open → commit lets several workers do the cryptography outside whatever lock guards the
// Node. A handshake's cryptography never runs in a call of the data path: those only ask for an initiation,
// which poll_transmit() makes.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "vpn/base/bytes.h"
#include "vpn/base/ids.h"
#include "vpn/base/ip_address.h"
#include "vpn/base/result.h"
#include "vpn/base/secret.h"
#include "vpn/base/time.h"
#include "vpn/core/drop.h"
#include "vpn/core/session.h"
#include "vpn/crypto/aead.h"
#include "vpn/crypto/random.h"

namespace vpn::core {

// Where a peer is, and from which of our addresses it was last spoken to ("sticky source").
struct Endpoint {
  UdpAddress remote;
  std::optional<IpAddress> local;  // our address the peer's last datagram came to; unset: the kernel's choice
  uint32_t interface_index = 0;    // the interface it came in on; 0: the kernel's choice

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// A datagram that is to be sent now. `tos` is the outer traffic-class byte: DSCP 0x88 for handshakes, the
// inner ECN for data (RFC 6040).
struct Transmit {
  Endpoint to;
  uint8_t tos = 0;
  std::optional<PeerId> peer;  // unset for a cookie reply, which answers nobody known
  BytesView datagram;
};

// An authentic datagram's content: `packet` is the inner IP packet, trimmed to its own length, a view into
// the datagram's buffer; empty for handshake messages, cookie replies and keepalives.
struct Delivery {
  std::optional<PeerId> peer;
  MutableBytes packet;
};

// Limits on one session, never looser than the protocol's own.
struct RekeyLimits {
  std::chrono::seconds after_time{120};  // 1 … 120 s
  uint64_t after_bytes = 0;              // sent plus received; 0: no limit by volume
  uint64_t after_messages = uint64_t{1} << 60;
};

// The lock that guards a Node used by several threads, as the Node sees it.
class DataLock {
 public:
  virtual void lock() noexcept = 0;
  virtual void unlock() noexcept = 0;

 protected:
  ~DataLock() = default;
};

enum class NodeError : uint8_t {
  kOwnKey,        // a peer with this node's own public key
  kPeerExists,    // a second peer with the same public key
  kTooManyPeers,  // more than the node's limit
};
[[nodiscard]] std::string_view node_error_meaning(NodeError error) noexcept;

enum class EventKind : uint8_t {
  kHandshakeInitiated,  // an initiation was sent
  kHandshakeCompleted,  // a new session stands (either role)
  kHandshakeFailed,     // `drop` says why: the peer's answer did not verify, …
  kHandshakeGaveUp,     // no answer for REKEY_ATTEMPT_TIME
  kCookieReceived,      // the peer is under load and asked for a cookie
  kRoamed,              // the endpoint followed an authentic datagram; `endpoint` is the new one
  kWentSilent,          // data sent, nothing received for KEEPALIVE + REKEY timeouts
  kUnanswered,          // initiations sent, nothing received for KEEPALIVE + REKEY timeouts
  kReconnected,         // the first authentic datagram after kWentSilent, kUnanswered or kHandshakeGaveUp
  kSessionExpired,      // the keys were erased after 3 × REJECT_AFTER_TIME without a new session
};
[[nodiscard]] std::string_view event_name(EventKind kind) noexcept;

struct Event {
  EventKind kind{};
  PeerId peer;
  Instant when{};
  std::optional<Endpoint> endpoint;
  std::optional<Drop> drop;
  bool initiator = false;  // of a handshake or session event: our role
};

// What `wg show` and `vpn show` print of one peer.
struct SessionStatus {
  bool initiator = false;
  SessionIndex local, remote;
  Duration age{};
  uint64_t sent_messages = 0;
};
struct PeerStatus {
  PeerId id;
  PublicKey public_key;
  bool has_preshared_key = false;
  Secret<32> preshared_key;
  crypto::Suite suite = crypto::Suite::kChaCha20Poly1305;
  std::optional<Endpoint> endpoint;
  std::chrono::seconds persistent_keepalive{0};
  RekeyLimits rekey;
  UnixTime last_handshake;  // zero: never
  uint64_t received_bytes = 0;
  uint64_t sent_bytes = 0;
  std::vector<IpPrefix> allowed_ips;
  std::optional<SessionStatus> previous, current, next;
  size_t staged_packets = 0;
  uint64_t roamed_count = 0;
};

struct NodeOptions {
  size_t max_peers = size_t{1} << 16;
  uint16_t mtu = 1420;  // of the inner interface: padding never passes it
  // Handshake messages per second that the modelled queue drains; 1/8 of 4096 waiting means under load.
  uint32_t handshakes_per_second = 1000;
  // Keeps a copy of every ephemeral private key for poll_ephemeral_key(): whoever has it reads the session.
  bool report_ephemeral_keys = false;
};

// The private half of the key that one of our handshake messages carries.
struct EphemeralKey {
  PeerId peer;
  Secret<32> private_key;  // clamped
};

class Node {
 public:
  // `aeads` must outlive every session's key made with it; `random` must outlive the node.
  Node(crypto::AeadSet aeads, crypto::RandomSource& random, const NodeOptions& options, Now now);
  ~Node();
  Node(Node&&) noexcept;
  Node& operator=(Node&&) noexcept;

  // Several threads are going to use the node: every call is made with `lock` held, and calls other than
  // those of the data path (send_packet, sealed_bytes, reserve_outbound, find_receiver, commit_inbound,
  // count_drop, has_transmits, has_events, and what only reads) are made by one thread at a time even so. The
  // latter let go of `lock` while they compute with public keys (about 40 µs a time, up to four times a
  // message), so that a handshake holds up no data. `handshake_aeads` serve them then. Both must outlive the
  // node's use.
  void share(DataLock& lock, crypto::AeadSet handshake_aeads);

  // ── Configuration ──

  // Sets (and clamps) the private key; nothing removes it. Running sessions can no longer send and handshakes
  // in progress are dropped; a peer whose key equals the new own key is removed. Nothing happens where the
  // key is the one there is.
  void set_private_key(std::optional<Secret<32>> private_key, Now now);
  [[nodiscard]] const std::optional<Secret<32>>& private_key() const noexcept;
  [[nodiscard]] std::optional<PublicKey> public_key() const noexcept;

  // Adds a peer without endpoint, preshared key or allowed-IPs. Fails where the key is the node's own or
  // another peer's, or options.max_peers are there already. Ids are not used again.
  [[nodiscard]] Result<PeerId, NodeError> add_peer(const PublicKey& key, crypto::Suite suite, Now now);
  // Removes the peer with its sessions, timers, staged packets and allowed-IPs. Unknown ids are ignored.
  void remove_peer(PeerId peer) noexcept;
  [[nodiscard]] std::optional<PeerId> find_peer(const PublicKey& key) const noexcept;
  // Every peer, in the order they were added.
  [[nodiscard]] std::vector<PeerId> peers() const;
  [[nodiscard]] size_t peer_count() const noexcept;

  // The setters below ignore an unknown peer. A new preshared key (zeros: none) never drops the running
  // session.
  void set_preshared_key(PeerId peer, const Secret<32>& key);
  void set_endpoint(PeerId peer, const Endpoint& endpoint, Now now);
  // Our port, or the rules by which we are routed, have changed. The kernel chooses the source address anew;
  // a peer with a session that can still send hears from us at once, by a keepalive. No handshake begins.
  void refresh_source(PeerId peer, Now now);
  // The way to the peer has changed, or this host has slept. The kernel chooses the source address anew, and
  // the peer hears from us at once: by a keepalive, or, where the last session is too old for one, by
  // reconnect(). A peer with which nothing was going on is left alone.
  void refresh_path(PeerId peer, Now now);
  // Begins a handshake at once, with a source address of the kernel's choice, and gives up after
  // KEEPALIVE + REKEY timeouts. REKEY_TIMEOUT since the last initiation is not waited for, so the caller does
  // not call it more than once a second.
  void reconnect(PeerId peer, Now now);
  // 0 switches it off; otherwise 1 … 65535 s. Sends one keepalive at once when it is switched on (as Linux
  // does).
  void set_persistent_keepalive(PeerId peer, std::chrono::seconds interval, Now now);
  void set_suite(PeerId peer, crypto::Suite suite);
  void set_rekey_limits(PeerId peer, const RekeyLimits& limits);
  // Allows the prefix for this peer (host bits cleared), taking it from any other peer that had exactly it.
  void allow(PeerId peer, const IpPrefix& prefix);
  void disallow(PeerId peer, const IpPrefix& prefix) noexcept;
  void clear_allowed(PeerId peer) noexcept;
  void set_mtu(uint16_t mtu) noexcept;

  // The interface is taken down: every key, handshake in progress, timer and waiting packet goes, and nothing
  // is sent until come_up(). The configuration stays, and may change. Nothing is to be received meanwhile.
  void go_down() noexcept;
  // It is up again: whoever has a persistent keepalive hears from us, and so does whom packets wait for.
  void come_up(Now now);

  // ── Time ──

  // When handle_timeout() is due next; empty when no timer runs.
  [[nodiscard]] std::optional<Instant> poll_timeout() const noexcept;
  void handle_timeout(Now now);

  // ── Packets, one at a time ──

  // Takes one UDP payload, 0 … 65,507 bytes, decrypting it where it lies. `ecn` is the outer ECN field (2
  // bits), combined into the inner header per RFC 6040.
  [[nodiscard]] Result<Delivery, Drop> receive_datagram(const Endpoint& from, uint8_t ecn,
                                                        MutableBytes datagram, Now now);
  // Takes one inner IP packet for the peer whose allowed-IPs cover its destination, and seals it into `out`,
  // which needs sealed_bytes(ip_packet.size()) bytes and must not overlap the packet. Empty when it was
  // staged instead, until a handshake completes.
  [[nodiscard]] Result<std::optional<Transmit>, Drop> send_packet(BytesView ip_packet, MutableBytes out,
                                                                  Now now);
  // The datagram's length for an inner packet of this length: header, padding, tag.
  [[nodiscard]] size_t sealed_bytes(size_t packet_bytes) const noexcept;
  // Control messages and released staged packets, in order. The view is valid until the next non-const call.
  [[nodiscard]] std::optional<Transmit> poll_transmit(Now now);
  [[nodiscard]] std::optional<Event> poll_event();
  // Whether poll_transmit() or poll_event() may have something.
  [[nodiscard]] bool has_transmits() const noexcept;
  [[nodiscard]] bool has_events() const noexcept;
  // Only with NodeOptions::report_ephemeral_keys, for a key log: each key once, from before the message that
  // carries it is handed out by poll_transmit(). The newest 4096 wait.
  [[nodiscard]] std::optional<EphemeralKey> poll_ephemeral_key();

  // ── Packets, many at a time ──

  // What reserve_outbound() hands out: everything that sealing and sending a batch takes.
  struct SealReservation {
    std::shared_ptr<const Session> session;  // session->seal() may be used on any thread
    Counter first_counter = 0;
    Endpoint to;
    PeerId peer;
  };
  // Reserves counters for `count` inner packets to one destination, whose datagrams have `datagram_bytes`
  // together, and does what sending them means to timers, volume limits and the peer's byte count. Empty, and
  // nothing reserved, when they may not be sent at once: hand them to send_packet() one by one, which stages
  // them in order. A drop (no route, no endpoint) is counted once, whatever `count` is.
  [[nodiscard]] Result<std::optional<SealReservation>, Drop> reserve_outbound(const IpAddress& destination,
                                                                              size_t count,
                                                                              size_t datagram_bytes, Now now);
  // The session a data message is for, if its index is ours and it may still receive. Drops are counted.
  [[nodiscard]] Result<std::shared_ptr<const Session>, Drop> find_receiver(SessionIndex index, Now now);
  // Commits one opened (authentic) data message: replay window, roaming, confirmation, timers, trimming,
  // allowed-IPs. `plain` is the decrypted content, padding included.
  [[nodiscard]] Result<Delivery, Drop> commit_inbound(const Session& session, Counter counter,
                                                      const Endpoint& from, uint8_t ecn, MutableBytes plain,
                                                      size_t datagram_bytes, Now now);

  // ── Reading ──

  // What the peer is doing, with ages as of `now`; empty for an unknown id.
  [[nodiscard]] std::optional<PeerStatus> status(PeerId peer, Instant now) const;
  // Where its next message goes.
  [[nodiscard]] std::optional<Endpoint> endpoint_of(PeerId peer) const noexcept;
  [[nodiscard]] const DropCounters& drops() const noexcept;
  void count_drop(Drop drop) noexcept;  // for drops a worker decides, such as kDataAuth
  [[nodiscard]] bool under_load(Instant now) const noexcept;

  // The peer's current session, for tests and tools that need to look into it; null when there is none.
  [[nodiscard]] std::shared_ptr<Session> current_session(PeerId peer) const noexcept;

  // The greatest TAI64N stamp sent (12 bytes, big-endian): keep it across restarts, and restore it before the
  // first handshake, so that a wall clock which stepped back cannot lock this node out of its peers.
  [[nodiscard]] std::array<uint8_t, 12> greatest_timestamp_sent() const noexcept;
  void restore_timestamp(const std::array<uint8_t, 12>& timestamp) noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vpn::core
