#include "vpn/daemon/device.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <utility>

#include "vpn/base/version.h"
#include "vpn/config/text.h"
#include "vpn/io/segmentation_check.h"
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

// Of two workers' offloads, "gso gro" or "gro": what at least each has. A longer list has more.
const std::string& least(const std::string& a, const std::string& b) noexcept {
  return !a.empty() && a.size() <= b.size() ? a : b;
}

std::string short_key(const PublicKey& key) {
  const std::string text = config::to_base64(key.bytes);
  return text.substr(0, 4) + "…" + text.substr(39, 4);
}

std::chrono::seconds whole_seconds(Duration age) {
  return std::chrono::duration_cast<std::chrono::seconds>(age);
}

}  // namespace

Result<std::unique_ptr<Device>, Error> Device::create(const Options& options, io::EventLoop& loop,
                                                      crypto::RandomSource& random, Log& log,
                                                      std::function<void()> on_gone) {
  Options checked = options;
  if (options.udp_offload && !io::segmentation_keeps_bytes()) {
    checked.udp_offload = false;
    log.warning("this kernel changes UDP packets that are sent in batches, so that they go one by one",
                {{"remedy", "use another kernel for more speed"}});
  }
  auto sockets = UdpPair::open_group(
      {options.listen_port, options.fwmark, checked.udp_offload, options.udp_splits}, options.workers);
  if (!sockets) return fail(std::move(sockets.error()));
  auto tun = io::TunDevice::create({options.interface, options.tun_offload, options.workers > 1});
  if (!tun) return fail(std::move(tun.error()));
  std::vector<io::TunDevice> queues;
  queues.push_back(std::move(*tun));
  while (queues.size() < options.workers) {
    auto queue = queues.front().open_queue();
    if (!queue) return fail(std::move(queue.error()));
    queues.push_back(std::move(*queue));
  }
  return assemble(checked, std::move(queues), std::move(*sockets), loop, random, log, std::move(on_gone));
}

Result<std::unique_ptr<Device>, Error> Device::assemble(const Options& options,
                                                        std::vector<io::TunDevice> queues,
                                                        std::vector<UdpPair> sockets, io::EventLoop& loop,
                                                        crypto::RandomSource& random, Log& log,
                                                        std::function<void()> on_gone) {
  std::unique_ptr<Device> device(
      new Device(options, sockets.front().port(), loop, random, log, std::move(on_gone)));
  if (options.key_log) {
    auto opened = KeyLog::open(*options.key_log);
    if (!opened) return fail(std::move(opened.error()));
    device->key_log_ = std::move(*opened);
    log.warning("EVERY SESSION'S KEYS ARE WRITTEN TO A FILE: whoever has it can read the tunnel's traffic",
                {{"file", *options.key_log}, {"remedy", "start without --key-log and VPN_KEY_LOG"}});
  }
  device->workers_.push_back(
      std::make_unique<Worker>(device->node_, std::move(queues.front()), std::move(sockets.front()), loop));
  for (size_t index = 1; index < queues.size(); ++index) {
    auto added = device->add_worker(std::move(queues[index]), std::move(sockets[index]));
    if (!added) return fail(std::move(added.error()));
  }
  for (const auto& worker : device->workers_) {
    if (device->key_log_) worker->set_before_sending([&one = *device](auto& node) { one.log_keys(node); });
  }
  return device;
}

Result<bool, Error> Device::add_worker(io::TunDevice tun, UdpPair sockets) {
  auto loop = io::EventLoop::create();
  if (!loop) return fail(std::move(loop.error()));
  workers_.push_back(std::make_unique<Worker>(node_, std::move(tun), std::move(sockets), std::move(*loop),
                                              [this] { loop_.wake(); }));
  return true;
}

Device::Device(const Options& options, uint16_t listen_port, io::EventLoop& loop,
               crypto::RandomSource& random, Log& log, std::function<void()> on_gone)
    : loop_(loop),
      log_(log),
      on_gone_(std::move(on_gone)),
      fwmark_(options.fwmark),
      udp_offload_(options.udp_offload),
      udp_splits_(options.udp_splits),
      listen_port_(listen_port),
      node_(random, node_options(options), io::read_clock) {
  loop_.set_timer_handler([this] {
    timer_fired_ = true;
    const auto node = node_.control();
    node->handle_timeout(node.now());
  });
}

Device::~Device() {
  loop_.set_timer_handler({});
  for (const auto& worker : workers_) worker->stop();  // all, before the first of them goes
}

void Device::start_workers() {
  for (const auto& worker : workers_) worker->start();
}

void Device::restore_timestamp(const std::array<uint8_t, 12>& timestamp) noexcept {
  const auto node = node_.control();
  node->restore_timestamp(timestamp);
  timestamp_sent_ = node->greatest_timestamp_sent();
}

// Before the messages of these keys leave, so that who captures them finds the keys in the file. On the
// thread of any worker.
void Device::log_keys(SharedNode::Control& node) {
  while (const auto key = node->poll_ephemeral_key()) {
    const auto peer = node->status(key->peer, node.now().monotonic);
    if (!peer || !node->private_key()) continue;
    if (!key_log_->add(*node->private_key(), peer->public_key, key->private_key, peer->preshared_key)) {
      log_.warning("a session's keys could not be written", {{"peer", short_key(peer->public_key)}});
    }
  }
}

void Device::finish_round() {
  if (on_gone_ && std::ranges::any_of(workers_, &Worker::interface_is_gone)) std::exchange(on_gone_, {})();
  if (!node_.main_loop_is_wanted() && !timer_fired_) return;
  timer_fired_ = false;
  {
    auto node = node_.control();
    main_worker().drain_transmits(node);
  }
  std::vector<core::Event> events;
  core::DropCounters drops;
  Instant now;
  {
    const auto node = node_.control();
    while (const auto event = node->poll_event()) events.push_back(*event);
    drops = node->drops();
    now = node.now().monotonic;
    loop_.set_timer(node->poll_timeout());
    timestamp_sent_ = node->greatest_timestamp_sent();
    node_.note_main_loop_done(node);
  }
  for (const core::Event& event : events) tell(event);
  refusals_.tell(drops, now, log_);
}

Result<bool, Error> Device::check_peer_count(const config::DeviceChange& change) {
  constexpr size_t kMostPeers = core::NodeOptions{}.max_peers;
  const auto node = node_.control();
  const size_t before = change.replace_peers ? 0 : node->peer_count();
  if (before + change.peers.size() <= kMostPeers) return true;
  std::set<std::array<uint8_t, 32>> added, removed;
  for (const config::PeerChange& peer : change.peers) {
    const auto& key = peer.public_key.bytes;
    const bool stood = !change.replace_peers && node->find_peer(peer.public_key);
    if (peer.remove) {
      if (stood) removed.insert(key);
      added.erase(key);
    } else if (!peer.update_only) {
      if (!stood) added.insert(key);
      removed.erase(key);
    }
  }
  const size_t after = before - removed.size() + added.size();
  if (after <= kMostPeers) return true;
  return fail(Error{
      "peers", 0, "",
      std::to_string(after) + " are more than the " + std::to_string(kMostPeers) + " that an interface takes",
      "share them among several interfaces", ENOMEM});
}

Result<bool, Error> Device::apply(const config::DeviceChange& change) {
  if (auto fits = check_peer_count(change); !fits) return fits;
  if (auto applied = apply_sockets(change); !applied) return applied;
  if (change.private_key) {
    const auto node = node_.control();
    node->set_private_key(change.private_key->is_zero() ? std::nullopt : change.private_key, node.now());
  }
  if (change.replace_peers) {
    const auto node = node_.control();
    for (const PeerId peer : node->peers()) node->remove_peer(peer);
    notes_.clear();
  }
  for (const config::PeerChange& peer : change.peers) apply_peer(peer);
  return true;
}

void Device::go_down() {
  if (!std::exchange(is_link_up_, false)) return;
  has_sockets_ = false;
  // First, so that nothing is received any more once the node is down.
  for (const auto& worker : workers_) worker->replace_sockets(UdpPair());
  node_.control()->go_down();
}

Result<bool, Error> Device::come_up() {
  if (std::exchange(is_link_up_, true)) return true;
  return open_sockets(listen_port_, fwmark_);
}

// In the place of those there are, if any.
Result<bool, Error> Device::open_sockets(uint16_t port, uint32_t fwmark) {
  auto sockets = UdpPair::open_group({port, fwmark, udp_offload_, udp_splits_}, workers_.size());
  if (!sockets) return fail(std::move(sockets.error()));
  listen_port_ = sockets->front().port();
  for (size_t index = 0; index < workers_.size(); ++index) {
    workers_[index]->replace_sockets(std::move((*sockets)[index]));
  }
  if (std::exchange(has_sockets_, true)) return true;
  const auto node = node_.control();
  node->come_up(node.now());
  return true;
}

Result<bool, Error> Device::apply_sockets(const config::DeviceChange& change) {
  const uint32_t fwmark = change.fwmark.value_or(fwmark_);
  if (!is_link_up_) {
    fwmark_ = fwmark;
    listen_port_ = change.listen_port.value_or(listen_port_);
    return true;
  }
  if (change.listen_port && (!has_sockets_ || *change.listen_port != listen_port_)) {
    if (auto opened = open_sockets(*change.listen_port, fwmark); !opened) return opened;
  } else if (fwmark != fwmark_) {
    for (const auto& worker : workers_) {
      if (auto set = worker->set_fwmark(fwmark); !set) return set;
    }
  } else {
    return true;
  }
  fwmark_ = fwmark;
  // A mark may choose another route, with another source address; and peers answer to the port they last
  // heard from.
  const auto node = node_.control();
  for (const PeerId peer : node->peers()) node->refresh_source(peer, node.now());
  return true;
}

// The control plane is held for one peer at a time, so that workers with a handshake message need not wait
// for thousands.
void Device::apply_peer(const config::PeerChange& change) {
  const auto node = node_.control();
  auto peer = node->find_peer(change.public_key);
  if (change.remove) {
    if (!peer) return;
    node->remove_peer(*peer);
    notes_.erase(*peer);
    return;
  }
  if (!peer) {
    if (change.update_only) return;
    const auto added =
        node->add_peer(change.public_key, to_suite(change.cipher.value_or(config::Cipher{})), node.now());
    if (!added) {
      // Our own key, which is passed over, as Linux does.
      log_.warning("peer not added", {{"reason", std::string(core::node_error_meaning(added.error()))}});
      return;
    }
    peer = *added;
    notes_[*peer].key = change.public_key;
  }
  change_peer(*node.operator->(), *peer, change, node.now());
}

void Device::change_peer(core::Node& node, PeerId peer, const config::PeerChange& change, Now now) {
  if (change.cipher) node.set_suite(peer, to_suite(*change.cipher));
  if (change.preshared_key) node.set_preshared_key(peer, *change.preshared_key);
  if (change.rekey_after_bytes || change.rekey_after_time) {
    core::RekeyLimits limits = node.status(peer, now.monotonic)->rekey;
    limits.after_bytes = change.rekey_after_bytes.value_or(limits.after_bytes);
    limits.after_time = change.rekey_after_time.value_or(limits.after_time);
    node.set_rekey_limits(peer, limits);
  }
  if (change.replace_allowed_ips) node.clear_allowed(peer);
  for (const auto& [prefix, remove] : change.allowed_ips) {
    if (remove) {
      node.disallow(peer, prefix);
    } else {
      node.allow(peer, prefix);
    }
  }
  if (change.endpoint) {
    node.set_endpoint(peer, {*change.endpoint, std::nullopt, 0}, now);
    note_visit(notes_[peer], *change.endpoint);
  }
  if (change.persistent_keepalive) {
    node.set_persistent_keepalive(peer, std::chrono::seconds(*change.persistent_keepalive), now);
  }
  if (change.contact == config::Contact::kRefresh) node.refresh_path(peer, now);
  if (change.contact == config::Contact::kReconnect) node.reconnect(peer, now);
}

void Device::set_peer_name(const PublicKey& key, std::string name) {
  if (const auto peer = node_.data()->find_peer(key)) notes_[*peer].name = std::move(name);
}

void Device::note_visit(PeerNotes& notes, const UdpAddress& address) {
  if (!notes.visits.empty() && notes.visits.back().address == address) return;
  if (notes.visits.size() == kVisitsKept) notes.visits.erase(notes.visits.begin());
  notes.visits.push_back({address, io::read_clock().wall.seconds});
  peer_moves_.push_back({notes.key, address});
}

config::DeviceReport Device::report() const {
  config::DeviceReport report;
  report.listen_port = listen_port_;
  report.fwmark = fwmark_;
  report.version = version();
  io::SendCounts sent;
  uint64_t overflows = 0;
  uint64_t malformed = 0;
  uint64_t refused = 0;
  for (const auto& worker : workers_) {
    const Worker::Report one = worker->report();
    sent += one.sent;
    overflows += one.receive_overflows;
    malformed += one.malformed;
    refused += one.refused;
    report.tun_offload = least(report.tun_offload, one.tun_offload);
    report.udp_offload = least(report.udp_offload, one.udp_offload);
  }
  std::vector<PeerId> peers;
  {
    const auto node = node_.data();
    report.private_key = node->private_key();
    peers = node->peers();
    for (size_t index = 0; index < core::kDropCount; ++index) {
      const auto drop = static_cast<core::Drop>(index);
      report.counters.emplace_back("drop_" + std::string(core::drop_name(drop)), node->drops().of(drop));
    }
  }
  const std::pair<const char*, uint64_t> counts[] = {{"sent_datagrams", sent.sent},
                                                     {"send_too_large", sent.too_large},
                                                     {"send_no_buffer", sent.no_buffer},
                                                     {"send_unreachable", sent.unreachable},
                                                     {"send_refused", sent.refused},
                                                     {"send_other_error", sent.other},
                                                     {"receive_overflow", overflows},
                                                     {"tun_malformed", malformed},
                                                     {"tun_refused", refused}};
  for (const auto& [name, count] : counts) report.counters.emplace_back(name, count);
  // One peer at a time, so that packets go on meanwhile.
  for (const PeerId peer : peers) {
    const auto status = [&] {
      const auto node = node_.data();
      return node->status(peer, node.now().monotonic);
    }();
    report.peers.push_back(report_peer(*status));  // none goes but by the main thread, this one
  }
  return report;
}

std::vector<Device::PeerEndpoint> Device::endpoints() const {
  std::vector<PeerEndpoint> endpoints;
  for (const auto& [peer, notes] : notes_) {  // one at a time, so that packets go on meanwhile
    const auto endpoint = node_.data()->endpoint_of(peer);
    if (endpoint) endpoints.push_back({notes.key, endpoint->remote});
  }
  return endpoints;
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
  const std::string shortened = short_key(notes.key);
  return notes.name.empty() ? shortened : notes.name + " " + shortened;
}

// Silence is news once, however it is noticed, until the peer is heard again.
void Device::note_silence(PeerNotes& notes, bool silent) {
  if (std::exchange(notes.silent, silent) != silent) peer_news_.push_back({notes.key, silent});
}

void Device::tell(const core::Event& event) {
  const auto found = notes_.find(event.peer);
  if (found == notes_.end()) return;
  PeerNotes& notes = found->second;
  const bool silent = event.kind == core::EventKind::kHandshakeGaveUp ||
                      event.kind == core::EventKind::kWentSilent ||
                      event.kind == core::EventKind::kUnanswered;
  if (silent || event.kind == core::EventKind::kReconnected) note_silence(notes, silent);
  const bool moved =
      event.kind == core::EventKind::kHandshakeCompleted || event.kind == core::EventKind::kRoamed;
  if (moved && event.endpoint) note_visit(notes, event.endpoint->remote);
  notes.telling.tell(event, peer_label(notes), log_);
}

}  // namespace vpn::daemon
