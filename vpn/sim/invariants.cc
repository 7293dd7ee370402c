#include "vpn/sim/invariants.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>

#include "vpn/base/endian.h"

namespace vpn::sim {
namespace {

using namespace std::chrono_literals;

// Like kKeyErasureTime, written down again on purpose: a wrong constant of the core must not excuse itself.
constexpr Duration kRekeyTimeout = 5s;
constexpr Duration kMaxJitter = 334ms;
constexpr Duration kRejectAfterTime = 180s;
constexpr size_t kDataOverheadBytes = 32;
constexpr size_t kMac2Bytes = 16;

uint32_t word(BytesView datagram, size_t offset) {
  return load_le<uint32_t>(datagram.data() + offset);
}

// The name of a message's proven content: mac2, which a node not under load does not look at, is left out.
uint64_t content_digest(MessageClass message, BytesView datagram) {
  if (message == MessageClass::kInitiation || message == MessageClass::kResponse) {
    datagram = datagram.first(datagram.size() - kMac2Bytes);
  }
  constexpr std::array<uint8_t, crypto_shorthash_KEYBYTES> kKey{1};
  std::array<uint8_t, crypto_shorthash_BYTES> hash{};
  crypto_shorthash(hash.data(), datagram.data(), datagram.size(), kKey.data());
  return load_le<uint64_t>(hash.data());
}

// Whether this reason means that the sender had proven itself all the same.
bool is_after_proof(core::Drop drop) {
  switch (drop) {
    case core::Drop::kInnerNotIp:
    case core::Drop::kInnerLength:
    case core::Drop::kSourceNotAllowed:
    case core::Drop::kWrongSuite:
      return true;
    default:
      return false;
  }
}

bool is_data(MessageClass message) {
  return message == MessageClass::kData || message == MessageClass::kKeepalive;
}

}  // namespace

Invariants::Invariants(World& world) : world_(world) {
  world_.add_observer(*this);
}

Invariants::~Invariants() {
  world_.remove_observer(*this);
}

void Invariants::report(std::string_view invariant, std::string what) {
  violations_.push_back({std::string(invariant), world_.now(), std::move(what)});
}

void Invariants::on_transmit(const TransmitSeen& seen) {
  genuine_.try_emplace(content_digest(seen.message, seen.datagram), Genuine{seen.message, {}});
  if (silence_expected_) {
    report("chatter",
           fmt::format("{} sends a message of {} bytes", world_.node_name(seen.node), seen.datagram.size()));
  }
  check_answer(seen);
  switch (seen.message) {
    case MessageClass::kInitiation:
      on_initiation(seen);
      break;
    case MessageClass::kResponse:
      on_response(seen);
      break;
    case MessageClass::kData:
    case MessageClass::kKeepalive:
      on_data(seen);
      break;
    case MessageClass::kCookie:
      break;
    case MessageClass::kOther:
      report("padding", fmt::format("{} sends {} bytes that are no message", world_.node_name(seen.node),
                                    seen.datagram.size()));
  }
}

void Invariants::check_answer(const TransmitSeen& seen) {
  if (!unproven_) return;
  answered_bytes_ += seen.datagram.size();
  if (*unproven_ != core::Drop::kCookieRequired || seen.message != MessageClass::kCookie ||
      answered_bytes_ > unproven_bytes_) {
    report("answered_unproven", fmt::format("{} answers {} bytes ({}) with {}", world_.node_name(seen.node),
                                            unproven_bytes_, core::drop_name(*unproven_), answered_bytes_));
  }
}

void Invariants::check_fresh_index(NodeView& node, NodeId id, BytesView datagram) {
  if (!node.used_indices.insert(word(datagram, 4)).second) {
    report("index_reuse", fmt::format("{} uses index {:08x} again", world_.node_name(id), word(datagram, 4)));
  }
}

void Invariants::on_initiation(const TransmitSeen& seen) {
  NodeView& node = nodes_[seen.node];
  check_fresh_index(node, seen.node, seen.datagram);
  PeerView& peer = node.peers[*seen.peer];
  if (peer.last_handshake_sent && seen.when - *peer.last_handshake_sent < kRekeyTimeout) {
    report("initiation_spacing",
           fmt::format("{} initiates {} ns after its last handshake message", world_.node_name(seen.node),
                       (seen.when - *peer.last_handshake_sent).count()));
  }
  // Only those a timer sent: traffic may begin the next handshake as soon as the 5 s are over.
  const bool by_timer = node.last_timeout == seen.when;
  if (by_timer && peer.last_initiation && seen.when - *peer.last_initiation <= kRekeyTimeout + kMaxJitter) {
    ++retransmissions_;
    if (seen.when - *peer.last_initiation == kRekeyTimeout) ++exact_retransmissions_;
    if (retransmissions_ >= 3 && exact_retransmissions_ == retransmissions_) {
      report("no_jitter", "all retransmissions of initiations came after exactly 5 s");
    }
  }
  // A response of ours counts as an initiation and puts the next one off: after one, a late initiation may
  // well be the last of its series.
  const bool begins_series =
      !peer.last_handshake_sent || seen.when - *peer.last_handshake_sent > 2 * kRekeyTimeout;
  peer.retransmit_by = begins_series ? std::optional(seen.when + kRekeyTimeout + kMaxJitter) : std::nullopt;
  peer.last_initiation = peer.last_handshake_sent = seen.when;
}

void Invariants::on_response(const TransmitSeen& seen) {
  NodeView& node = nodes_[seen.node];
  check_fresh_index(node, seen.node, seen.datagram);
  const uint32_t own = word(seen.datagram, 4), remote = word(seen.datagram, 8);
  node.receiving[own] = {.born = seen.when, .remote_index = remote};
  node.sending[{*seen.peer, remote}] = {
      .last_counter = {}, .born = seen.when, .needs_confirmation = true, .is_known = true};
  PeerView& peer = node.peers[*seen.peer];
  peer.last_handshake_sent = peer.newest_session = seen.when;
}

void Invariants::on_data(const TransmitSeen& seen) {
  const std::string& name = world_.node_name(seen.node);
  const uint32_t remote = word(seen.datagram, 4);
  const auto counter = load_le<uint64_t>(seen.datagram.data() + 8);
  SendingEnd& end = nodes_[seen.node].sending[{*seen.peer, remote}];
  if (!end.is_known || end.needs_confirmation) {
    report("unconfirmed_send",
           fmt::format("{} sends data {} on session {:08x}, which nobody confirmed", name, counter, remote));
  }
  if (end.last_counter && counter <= *end.last_counter) {
    report("nonce_reuse", fmt::format("{} sends counter {} after {} on session {:08x}", name, counter,
                                      *end.last_counter, remote));
  }
  end.last_counter = counter;
  if (end.is_known && seen.when - end.born > kRejectAfterTime) {
    report("sent_expired",
           fmt::format("{} sends on a session {} ns old", name, (seen.when - end.born).count()));
  }
  const size_t plain = seen.datagram.size() - kDataOverheadBytes;
  if (plain % 16 != 0 && plain != core::NodeOptions{}.mtu) {
    report("padding", fmt::format("{} sends {} bytes of content", name, plain));
  }
}

std::string Invariants::state_of(NodeId id) {
  core::Node& node = world_.node(id);
  std::string state =
      fmt::format("timeout {}", node.poll_timeout() ? node.poll_timeout()->time_since_epoch().count() : -1);
  for (const PeerId peer : node.peers()) {
    const auto status = node.status(peer, world_.now());
    state +=
        fmt::format("; peer {} at {} received {}", peer.value,
                    status->endpoint ? status->endpoint->remote.to_string() : "?", status->received_bytes);
    for (const auto& slot : {status->previous, status->current, status->next}) {
      state += slot ? fmt::format(" {:08x}", slot->local.value) : " -";
    }
  }
  return state;
}

void Invariants::on_arrival(const ReceiveSeen& seen) {
  const auto known = genuine_.find(content_digest(seen.message, seen.datagram));
  if (known == genuine_.end() || known->second.accepted_by) state_before_ = state_of(seen.node);
  drops_before_ = world_.node(seen.node).drops().total();
}

void Invariants::on_receive(const ReceiveSeen& seen) {
  const std::string& name = world_.node_name(seen.node);
  const uint64_t drops = world_.node(seen.node).drops().total() - drops_before_;
  if (drops != (seen.drop ? 1U : 0U)) {
    report("drop_count", fmt::format("{} counts {} drops for one message ({})", name, drops,
                                     seen.drop ? core::drop_name(*seen.drop) : "accepted"));
  }
  if (seen.drop && !is_after_proof(*seen.drop)) {
    if (state_before_ && *state_before_ != state_of(seen.node)) {
      report("state_changed",
             fmt::format("{} drops {} ({}): before {}, after {}", name, message_class_name(seen.message),
                         core::drop_name(*seen.drop), *state_before_, state_of(seen.node)));
    }
    unproven_ = seen.drop;
    unproven_bytes_ = seen.datagram.size();
    answered_bytes_ = 0;
  } else {
    on_authenticated(seen);
  }
  state_before_.reset();
}

void Invariants::on_authenticated(const ReceiveSeen& seen) {
  NodeView& node = nodes_[seen.node];
  const std::string& name = world_.node_name(seen.node);
  const auto known = genuine_.find(content_digest(seen.message, seen.datagram));
  if (known == genuine_.end() || known->second.accepted_by) {
    report("forgery_accepted",
           fmt::format("{} accepts a {} {}", name, known == genuine_.end() ? "forged" : "replayed",
                       message_class_name(seen.message)));
  } else {
    known->second.accepted_by = seen.node;
  }
  if (seen.peer) node.peers[*seen.peer].retransmit_by.reset();
  if (seen.message == MessageClass::kResponse && seen.peer) {
    const uint32_t remote = word(seen.datagram, 4), own = word(seen.datagram, 8);
    node.receiving[own] = {.born = seen.when, .remote_index = remote};
    node.sending[{*seen.peer, remote}] = {
        .last_counter = {}, .born = seen.when, .needs_confirmation = false, .is_known = true};
    node.peers[*seen.peer].newest_session = seen.when;
  }
  if (!is_data(seen.message)) return;
  const auto end = node.receiving.find(word(seen.datagram, 4));
  if (end == node.receiving.end()) {
    report("forgery_accepted", name + " accepts data on a session it has not");
    return;
  }
  if (seen.when - end->second.born > kRejectAfterTime) {
    report("accepted_expired", fmt::format("{} accepts data on a session {} ns old", name,
                                           (seen.when - end->second.born).count()));
  }
  for (auto& [key, sending] : node.sending) {
    if (key.second == end->second.remote_index) sending.needs_confirmation = false;
  }
  if (!seen.packet.empty()) check_delivery(seen);
}

void Invariants::check_delivery(const ReceiveSeen& seen) {
  const auto id = world_.identify(seen.node, seen.packet);
  if (!id) {
    report("not_sent", fmt::format("{} delivers {} bytes nobody sent it", world_.node_name(seen.node),
                                   seen.packet.size()));
    return;
  }
  const PacketRecord& record = world_.packet(*id);
  if (record.delivered_count > 1) {
    report("delivered_twice", fmt::format("{} delivers packet {} again", world_.node_name(seen.node), *id));
  }
  if (seen.peer != world_.peer_id(seen.node, record.from)) {
    report("not_sent",
           fmt::format("{} takes packet {} for another peer's", world_.node_name(seen.node), *id));
  }
}

void Invariants::on_receive_done(const ReceiveSeen& seen) {
  unproven_.reset();
  check_overdue_at(seen.node);
}

void Invariants::on_timeout(NodeId node, Instant when) {
  nodes_[node].last_timeout = when;
  check_overdue_at(node);
}

void Invariants::on_restart(NodeId node) {
  NodeView fresh;
  fresh.used_indices = std::move(nodes_[node].used_indices);
  nodes_[node] = std::move(fresh);
  for (auto& [digest, datagram] : genuine_) {
    if (datagram.message == MessageClass::kInitiation && datagram.accepted_by == node)
      datagram.accepted_by.reset();
  }
}

void Invariants::check_overdue() {
  for (uint32_t i = 0; i < world_.node_count(); ++i) check_overdue_at(NodeId{i});
}

void Invariants::check_overdue_at(NodeId id) {
  for (auto& [peer, view] : nodes_[id].peers) {
    if (view.retransmit_by && world_.now() > *view.retransmit_by) {
      view.retransmit_by.reset();
      report("no_retransmission",
             world_.node_name(id) + " does not repeat an initiation that nothing answered");
    }
    if (!view.newest_session || world_.now() - *view.newest_session < kKeyErasureTime) continue;
    const auto status = world_.node(id).status(peer, world_.now());
    if (status && (status->previous || status->current || status->next)) {
      report("keys_kept", fmt::format("{} keeps keys {} ns after the last new session", world_.node_name(id),
                                      (world_.now() - *view.newest_session).count()));
    }
  }
}

}  // namespace vpn::sim
