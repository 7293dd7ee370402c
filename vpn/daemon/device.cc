#include "vpn/daemon/device.h"

#include <algorithm>
#include <utility>

#include "vpn/base/version.h"
#include "vpn/config/text.h"
#include "vpn/io/system.h"

namespace vpn::daemon {
namespace {

constexpr size_t kVisitsKept = 8;

crypto::Suite to_suite(config::Cipher cipher) noexcept {
  return cipher == config::Cipher::kAes256Gcm ? crypto::Suite::kAes256Gcm : crypto::Suite::kChaCha20Poly1305;
}
config::Cipher to_cipher(crypto::Suite suite) noexcept {
  return suite == crypto::Suite::kAes256Gcm ? config::Cipher::kAes256Gcm : config::Cipher::kChaCha20Poly1305;
}

core::NodeOptions node_options(const Device::Options& options) {
  core::NodeOptions node;
  node.report_ephemeral_keys = options.key_log.has_value();
  return node;
}

std::chrono::seconds whole_seconds(Duration age) {
  return std::chrono::duration_cast<std::chrono::seconds>(age);
}

}  // namespace

Result<std::unique_ptr<Device>, Error> Device::create(const Options& options, io::EventLoop& loop,
                                                      crypto::RandomSource& random, Log& log,
                                                      std::function<void()> on_gone) {
  auto sockets = UdpPair::open({options.listen_port, options.fwmark, options.udp_offload});
  if (!sockets) return fail(std::move(sockets.error()));
  std::optional<KeyLog> key_log;
  if (options.key_log) {
    auto opened = KeyLog::open(*options.key_log);
    if (!opened) return fail(std::move(opened.error()));
    key_log = std::move(*opened);
    log.warning("EVERY SESSION'S KEYS ARE WRITTEN TO A FILE: whoever has it can read the tunnel's traffic",
                {{"file", *options.key_log}, {"remedy", "start without --key-log and VPN_KEY_LOG"}});
  }
  auto tun = io::TunDevice::create({options.interface, options.tun_offload, false});
  if (!tun) return fail(std::move(tun.error()));
  std::unique_ptr<Device> device(
      new Device(std::move(*tun), std::move(*sockets), options, loop, random, log, std::move(on_gone)));
  device->key_log_ = std::move(key_log);
  return device;
}

Device::Device(io::TunDevice tun, UdpPair sockets, const Options& options, io::EventLoop& loop,
               crypto::RandomSource& random, Log& log, std::function<void()> on_gone)
    : loop_(loop),
      log_(log),
      on_gone_(std::move(on_gone)),
      fwmark_(options.fwmark),
      udp_offload_(options.udp_offload),
      tun_(std::move(tun)),
      sockets_(std::move(sockets)),
      node_(crypto::select_aeads(), random, node_options(options), io::read_clock()),
      aeads_(crypto::select_aeads()),
      queue_(sockets_),
      outbound_(node_, aeads_, tun_, queue_),
      inbound_(node_, aeads_, tun_) {
  loop_.watch(tun_.fd(), [this] { run_outbound(); });
  watch_sockets();
  loop_.set_timer_handler([this] { node_.handle_timeout(io::read_clock()); });
}

Device::~Device() {
  loop_.set_timer_handler({});
  loop_.unwatch(tun_.fd());
  unwatch_sockets();
}

void Device::watch_sockets() {
  sockets_.for_each([this](io::UdpSocket& socket) {
    const IpFamily family = sockets_.of(IpFamily::kIpv4) == &socket ? IpFamily::kIpv4 : IpFamily::kIpv6;
    loop_.watch(socket.fd(), [this, family] { run_inbound(*sockets_.of(family)); });
  });
}

void Device::unwatch_sockets() noexcept {
  sockets_.for_each([this](io::UdpSocket& socket) { loop_.unwatch(socket.fd()); });
}

void Device::run_outbound() {
  drain_transmits(io::read_clock());  // what is staged goes before what comes now
  if (outbound_.run(io::read_clock()) != Outbound::Outcome::kInterfaceGone) return;
  loop_.unwatch(tun_.fd());
  if (on_gone_) std::exchange(on_gone_, {})();
}

void Device::run_inbound(io::UdpSocket& socket) {
  inbound_.run(socket, io::read_clock());
  drain_transmits(io::read_clock());
}

void Device::drain_transmits(Now now) {
  if (key_log_) log_keys(now);  // first, so that who captures the message finds its key in the file
  while (const auto transmit = node_.poll_transmit(now)) {
    const BytesView datagram = transmit->datagram;
    if (!queue_.has_room(1, datagram.size())) queue_.flush();
    copy_bytes(datagram, queue_.reserve(datagram.size()));
    queue_.append(transmit->to, transmit->tos, datagram.size());
  }
  queue_.flush();
}

void Device::log_keys(Now now) {
  while (const auto key = node_.poll_ephemeral_key()) {
    const auto peer = node_.status(key->peer, now.monotonic);
    if (!peer || !node_.private_key()) continue;
    if (!key_log_->add(*node_.private_key(), peer->public_key, key->private_key, peer->preshared_key)) {
      log_.warning("a session's keys could not be written", {{"peer", peer_label(notes_.at(key->peer))}});
    }
  }
}

void Device::finish_round() {
  drain_transmits(io::read_clock());
  while (const auto event = node_.poll_event()) tell(*event);
  refusals_.tell(node_.drops(), io::read_clock().monotonic, log_);
  loop_.set_timer(node_.poll_timeout());
}

Result<bool, Error> Device::apply(const config::DeviceChange& change) {
  const Now now = io::read_clock();
  if (change.listen_port && *change.listen_port != sockets_.port()) {
    auto sockets = UdpPair::open({*change.listen_port, change.fwmark.value_or(fwmark_), udp_offload_});
    if (!sockets) return fail(std::move(sockets.error()));
    unwatch_sockets();
    sockets_ = std::move(*sockets);
    watch_sockets();
  } else if (change.fwmark && *change.fwmark != fwmark_) {
    if (auto set = sockets_.set_fwmark(*change.fwmark); !set) return set;
  }
  fwmark_ = change.fwmark.value_or(fwmark_);
  if (change.private_key) {
    node_.set_private_key(change.private_key->is_zero() ? std::nullopt : change.private_key, now);
  }
  if (change.replace_peers) {
    for (const PeerId peer : node_.peers()) node_.remove_peer(peer);
    notes_.clear();
  }
  for (const config::PeerChange& peer : change.peers) apply_peer(peer, now);
  return true;
}

void Device::apply_peer(const config::PeerChange& change, Now now) {
  auto peer = node_.find_peer(change.public_key);
  if (change.remove) {
    if (!peer) return;
    node_.remove_peer(*peer);
    notes_.erase(*peer);
    return;
  }
  if (!peer) {
    if (change.update_only) return;
    const auto added =
        node_.add_peer(change.public_key, to_suite(change.cipher.value_or(config::Cipher{})), now);
    if (!added) {
      // Our own key is passed over, as Linux does; the limit of peers is the other case.
      log_.warning("peer not added", {{"reason", std::string(core::node_error_meaning(added.error()))}});
      return;
    }
    peer = *added;
    notes_[*peer].key = change.public_key;
  }
  if (change.cipher) node_.set_suite(*peer, to_suite(*change.cipher));
  if (change.preshared_key) node_.set_preshared_key(*peer, *change.preshared_key);
  if (change.rekey_after_bytes || change.rekey_after_time) {
    core::RekeyLimits limits = node_.status(*peer, now.monotonic)->rekey;
    limits.after_bytes = change.rekey_after_bytes.value_or(limits.after_bytes);
    limits.after_time = change.rekey_after_time.value_or(limits.after_time);
    node_.set_rekey_limits(*peer, limits);
  }
  if (change.replace_allowed_ips) node_.clear_allowed(*peer);
  for (const auto& [prefix, remove] : change.allowed_ips) {
    if (remove) {
      node_.disallow(*peer, prefix);
    } else {
      node_.allow(*peer, prefix);
    }
  }
  if (change.endpoint) {
    node_.set_endpoint(*peer, {*change.endpoint, std::nullopt, 0}, now);
    note_visit(notes_[*peer], *change.endpoint);
  }
  if (change.persistent_keepalive) {
    node_.set_persistent_keepalive(*peer, std::chrono::seconds(*change.persistent_keepalive), now);
  }
}

void Device::set_peer_name(const PublicKey& key, std::string name) {
  if (const auto peer = node_.find_peer(key)) notes_[*peer].name = std::move(name);
}

void Device::note_visit(PeerNotes& notes, const UdpAddress& address) {
  if (!notes.visits.empty() && notes.visits.back().address == address) return;
  if (notes.visits.size() == kVisitsKept) notes.visits.erase(notes.visits.begin());
  notes.visits.push_back({address, io::read_clock().wall.seconds});
  endpoints_changed_ = true;
}

config::DeviceReport Device::report() const {
  config::DeviceReport report;
  report.private_key = node_.private_key();
  report.listen_port = sockets_.port();
  report.fwmark = fwmark_;
  report.version = version();
  report.tun_offload = tun_.features().to_string();
  report.udp_offload = sockets_.offload_text();
  for (size_t index = 0; index < core::kDropCount; ++index) {
    const auto drop = static_cast<core::Drop>(index);
    report.counters.emplace_back("drop_" + std::string(core::drop_name(drop)), node_.drops().of(drop));
  }
  const io::SendCounts sent = sockets_.counts();
  const std::pair<const char*, uint64_t> counts[] = {{"sent_datagrams", sent.sent},
                                                     {"send_too_large", sent.too_large},
                                                     {"send_no_buffer", sent.no_buffer},
                                                     {"send_unreachable", sent.unreachable},
                                                     {"send_refused", sent.refused},
                                                     {"send_other_error", sent.other},
                                                     {"receive_overflow", sockets_.receive_overflows()},
                                                     {"tun_malformed", outbound_.malformed_count()},
                                                     {"tun_refused", inbound_.refused_count()}};
  for (const auto& [name, count] : counts) report.counters.emplace_back(name, count);
  const Instant now = io::read_clock().monotonic;
  for (const PeerId peer : node_.peers()) report.peers.push_back(report_peer(*node_.status(peer, now)));
  return report;
}

config::PeerReport Device::report_peer(const core::PeerStatus& status) const {
  config::PeerReport report;
  report.public_key = status.public_key;
  report.preshared_key = status.preshared_key;
  if (status.endpoint) report.endpoint = status.endpoint->remote;
  report.persistent_keepalive = static_cast<uint16_t>(status.persistent_keepalive.count());
  report.last_handshake_seconds = status.last_handshake.seconds;
  report.last_handshake_nanoseconds = status.last_handshake.nanoseconds;
  report.received_bytes = status.received_bytes;
  report.sent_bytes = status.sent_bytes;
  report.allowed_ips = status.allowed_ips;
  report.cipher = to_cipher(status.suite);
  report.rekey_after_bytes = status.rekey.after_bytes;
  report.rekey_after_time = status.rekey.after_time;
  report.staged_packets = status.staged_packets;
  report.roamed_count = status.roamed_count;
  const auto add_session = [&](const char* slot, const std::optional<core::SessionStatus>& session) {
    if (session)
      report.sessions.push_back(
          {slot, session->initiator, whole_seconds(session->age), session->sent_messages});
  };
  add_session("previous", status.previous);
  add_session("current", status.current);
  add_session("next", status.next);
  if (const auto notes = notes_.find(status.id); notes != notes_.end()) {
    report.name = notes->second.name;
    report.endpoint_history = notes->second.visits;
  }
  return report;
}

std::string Device::peer_label(const PeerNotes& notes) const {
  const std::string key = config::to_base64(notes.key.bytes);
  const std::string shortened = key.substr(0, 4) + "…" + key.substr(39, 4);
  return notes.name.empty() ? shortened : notes.name + " " + shortened;
}

void Device::tell(const core::Event& event) {
  const auto found = notes_.find(event.peer);
  if (found == notes_.end()) return;
  PeerNotes& notes = found->second;
  const bool silent =
      event.kind == core::EventKind::kHandshakeGaveUp || event.kind == core::EventKind::kWentSilent;
  if (silent) silent_peers_.push_back(notes.key);
  const bool moved =
      event.kind == core::EventKind::kHandshakeCompleted || event.kind == core::EventKind::kRoamed;
  if (moved && event.endpoint) note_visit(notes, event.endpoint->remote);
  notes.telling.tell(event, peer_label(notes), log_);
}

}  // namespace vpn::daemon
