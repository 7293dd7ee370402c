// Invariants: watches a World from outside and says what broke of what WireGuard promises, whatever the
// network does.
//
// It judges by what goes over the wire and what nodes deliver, not by what they say of themselves, so that a
// wrong core cannot excuse itself. The promises, by the name a violation carries:
//
//   delivered_twice       no inner packet is delivered twice
//   not_sent              what is delivered was sent, to this node, and is unaltered
//   nonce_reuse           counters of one session and sender only grow
//   forgery_accepted      nothing is accepted but what a node sent, and nothing is accepted twice (but by a
//                         node that restarted, initiations: it has forgotten which time stamps it saw)
//   answered_unproven     a dropped message draws no answer; under load a cookie reply, which is never longer
//   state_changed         a message dropped before it was proven changes no endpoint, no session and no timer
//   drop_count            each drop is counted exactly once, nothing else is
//   initiation_spacing    at least 5 s from an initiation or response to the next initiation to the same peer
//   no_retransmission     an initiation that nothing answers is sent again after 5 s and at most a jitter
//   no_jitter             retransmissions of initiations are not all spaced alike
//   unconfirmed_send      a responder sends nothing on a session before the first authentic data on it
//   sent_expired          no data is sent on a session older than 180 s
//   accepted_expired      no data is accepted on a session older than 180 s
//   keys_kept             540 s after the last new session no key is left
//   padding               data is padded to 16 bytes, never past the MTU
//   index_reuse           a node's receiver indices are new for each handshake
//   chatter               keepalives draw no keepalives: who has nothing to say soon falls silent
//                         (see expect_silence)
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "vpn/sim/world.h"

namespace vpn::sim {

inline constexpr Duration kKeyErasureTime = std::chrono::seconds(540);  // from the last new session on

struct Violation {
  std::string invariant;  // a name from the list above
  Instant when{};
  std::string what;
};

class Invariants final : public Observer {
 public:
  // Watches the world for as long as it lives.
  explicit Invariants(World& world);
  ~Invariants() override;
  Invariants(const Invariants&) = delete;
  Invariants& operator=(const Invariants&) = delete;

  [[nodiscard]] const std::vector<Violation>& violations() const noexcept { return violations_; }
  // Adds a violation of the invariant with this name.
  void report(std::string_view invariant, std::string what);

  // From now on any transmission is `chatter`.
  void expect_silence(bool expected) noexcept { silence_expected_ = expected; }
  // Looks for what should have happened by now, at every node; also done by itself whenever a node is busy.
  void check_overdue();

  void on_transmit(const TransmitSeen& seen) override;
  void on_arrival(const ReceiveSeen& seen) override;
  void on_receive(const ReceiveSeen& seen) override;
  void on_receive_done(const ReceiveSeen& seen) override;
  void on_timeout(NodeId node, Instant when) override;
  void on_restart(NodeId node) override;

 private:
  // One end of a session, as the wire shows it; named by node and the index its messages carry.
  struct SendingEnd {
    std::optional<uint64_t> last_counter;
    Instant born{};
    bool needs_confirmation = false;
    bool is_known = false;  // its handshake was seen
  };
  struct ReceivingEnd {
    Instant born{};
    uint32_t remote_index = 0;
  };
  struct PeerView {
    std::optional<Instant> last_handshake_sent;  // initiation or response
    std::optional<Instant> last_initiation;
    std::optional<Instant> newest_session;
    std::optional<Instant> retransmit_by;  // after the first initiation of a series
  };
  struct NodeView {
    std::map<std::pair<PeerId, uint32_t>, SendingEnd> sending;  // by peer and the remote's index
    std::map<uint32_t, ReceivingEnd> receiving;                 // by our index
    std::map<PeerId, PeerView> peers;
    std::set<uint32_t> used_indices;
    std::optional<Instant> last_timeout;
  };
  // A datagram that a node sent, and the one that took it in.
  struct Genuine {
    MessageClass message{};
    std::optional<NodeId> accepted_by;
  };

  void on_initiation(const TransmitSeen& seen);
  void on_response(const TransmitSeen& seen);
  void on_data(const TransmitSeen& seen);
  void on_authenticated(const ReceiveSeen& seen);
  void check_delivery(const ReceiveSeen& seen);
  void check_answer(const TransmitSeen& seen);
  void check_overdue_at(NodeId node);
  // What a message that proves nothing may not change, as text.
  [[nodiscard]] std::string state_of(NodeId node);
  void check_fresh_index(NodeView& node, NodeId id, BytesView datagram);

  World& world_;
  std::map<NodeId, NodeView> nodes_;
  std::vector<Violation> violations_;
  bool silence_expected_ = false;
  uint64_t retransmissions_ = 0;
  uint64_t exact_retransmissions_ = 0;             // spaced by exactly 5 s
  std::unordered_map<uint64_t, Genuine> genuine_;  // by digest
  // While a received datagram is being handled.
  std::optional<std::string> state_before_;  // only for those that cannot be accepted
  uint64_t drops_before_ = 0;
  std::optional<core::Drop> unproven_;  // why it was dropped before it was proven
  size_t unproven_bytes_ = 0;
  size_t answered_bytes_ = 0;
};

}  // namespace vpn::sim
