// Peer: everything a Node knows of one peer. Plain state; the rules that move it are in node_handshake.cc and
// node_data.cc.
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "vpn/core/node.h"
#include "vpn/core/session.h"
#include "vpn/core/timers.h"
#include "vpn/noise/cookie.h"
#include "vpn/noise/handshake.h"
#include "vpn/noise/identity.h"

namespace vpn::core {

// The sessions of one peer. `current` sends; all three receive. A responder's new session waits in `next`
// until the first authentic message on it proves that the initiator has it too.
struct SessionSlots {
  std::shared_ptr<Session> previous, current, next;
};

// An inner packet that waits for a session.
struct StagedPacket {
  std::vector<uint8_t> bytes;
  uint8_t ecn = 0;
};

struct Peer {
  Peer(PeerId peer_id, const PublicKey& key, crypto::Suite cipher) noexcept
      : id(peer_id), identity(key), suite(cipher) {
    queue_entry.owner = this;
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  PeerId id;
  noise::RemoteIdentity identity;
  crypto::Suite suite;
  RekeyLimits rekey;
  std::chrono::seconds persistent_keepalive{0};
  std::vector<IpPrefix> allowed_ips;
  std::optional<Endpoint> endpoint;

  // Handshake.
  std::optional<noise::InitiatorState> pending;  // our initiation that waits for a response
  bool failure_reported = false;  // of `pending`, so that forged responses cannot flood the log
  std::optional<noise::Timestamp> greatest_received;  // of initiations that authenticated
  std::optional<noise::Timestamp> greatest_sent;
  std::optional<Instant> initiation_accepted;  // when the last initiation from the peer was
  std::optional<Instant> handshake_sent;       // when we last sent an initiation or a response
  Instant attempts_began{};                    // of the run of retransmissions that is under way
  std::optional<Instant> unanswered_since;     // of the initiations since the peer was last heard

  // Cookies.
  std::optional<crypto::Mac> last_mac1;  // of our last handshake message, until a cookie reply to it came
  std::optional<noise::Cookie> cookie;
  Instant cookie_received{};

  SessionSlots sessions;
  TimerTable timers;
  TimerQueue::Entry queue_entry;
  bool keepalive_wanted_again = false;  // more data came while a keepalive was already due
  bool last_chance_taken = false;       // the rekey on receiving late in a session's life happens once
  bool silent = false;                  // it was said that the peer does not answer
  bool unanswered = false;              // the same of its initiations

  std::list<StagedPacket> staged;  // an empty one allocates nothing, unlike a deque
  bool flush_queued = false;
  bool initiation_queued = false;

  UnixTime last_handshake;
  uint64_t received_bytes = 0;
  uint64_t sent_bytes = 0;
  uint64_t roamed_count = 0;
};

}  // namespace vpn::core
