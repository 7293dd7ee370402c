#include "vpn/sim/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "vpn/base/endian.h"
#include "vpn/crypto/initialize.h"
#include "vpn/crypto/x25519.h"

namespace vpn::sim {
namespace {

constexpr uint16_t kPort = 51820;
constexpr int64_t kStartOfTime = 1'700'000'000;  // Unix seconds at instant 0, by a true clock
constexpr size_t kMaxNodes = 65'534;
constexpr size_t kMinPacketBytes = 64;
constexpr uint32_t kMaxTimersPerInstant = 100'000;

constexpr size_t kUdpHeaderBytes = 8;
constexpr size_t header_bytes(IpFamily family) {
  return family == IpFamily::kIpv4 ? 20 : 40;
}

// a.b.x.y, where x.y is the number plus one.
IpAddress numbered(uint8_t a, uint8_t b, NodeId id) {
  const uint32_t host = id.value + 1;
  return IpAddress::ipv4(a, b, static_cast<uint8_t>(host >> 8), static_cast<uint8_t>(host));
}

uint64_t digest(BytesView bytes) {
  constexpr std::array<uint8_t, crypto_shorthash_KEYBYTES> kKey{};
  std::array<uint8_t, crypto_shorthash_BYTES> hash{};
  crypto_shorthash(hash.data(), bytes.data(), bytes.size(), kKey.data());
  return load_le<uint64_t>(hash.data());
}

// The inner packet number `id`: an IP and a UDP header, then the id, then bytes that follow from it.
std::vector<uint8_t> build_packet(const IpAddress& from, const IpAddress& to, PacketId id, size_t length) {
  std::vector<uint8_t> packet(length);
  const size_t ip = header_bytes(from.family());
  if (from.is_ipv4()) {
    packet[0] = 0x45;
    store_be(&packet[2], static_cast<uint16_t>(length));
    packet[8] = 64;
    packet[9] = 17;
    copy_bytes(from.bytes(), MutableBytes(packet).subspan(12));
    copy_bytes(to.bytes(), MutableBytes(packet).subspan(16));
  } else {
    packet[0] = 0x60;
    store_be(&packet[4], static_cast<uint16_t>(length - ip));
    packet[6] = 17;
    packet[7] = 64;
    copy_bytes(from.bytes(), MutableBytes(packet).subspan(8));
    copy_bytes(to.bytes(), MutableBytes(packet).subspan(24));
  }
  store_be(&packet[ip + 4], static_cast<uint16_t>(length - ip));
  size_t at = ip + kUdpHeaderBytes;
  store_le<uint64_t>(&packet[at], id);
  uint64_t filler = id;
  for (at += 8; at < length; ++at) {
    filler = filler * 6364136223846793005U + 1442695040888963407U;
    packet[at] = static_cast<uint8_t>(filler >> 56);
  }
  return packet;
}

}  // namespace

crypto::AeadSet portable_aeads() {
  auto aes = crypto::make_aead(crypto::Backend::kLibsodium, crypto::Suite::kAes256Gcm);
  if (!aes) aes = crypto::make_aead(crypto::Backend::kOpenssl, crypto::Suite::kAes256Gcm);
  return {crypto::make_aead(crypto::Backend::kLibsodium, crypto::Suite::kChaCha20Poly1305), std::move(aes)};
}

World::World(uint64_t seed) : seed_(seed) {
  crypto::initialize();
}

World::~World() = default;

NodeId World::add_node(const NodeSetup& setup) {
  if (hosts_.size() >= kMaxNodes) throw std::invalid_argument("add_node: too many nodes");
  if (setup.name.empty() || names_.contains(setup.name)) {
    throw std::invalid_argument("add_node: the name '" + setup.name + "' is empty or taken");
  }
  const NodeId id{static_cast<uint32_t>(hosts_.size())};
  hosts_.push_back(std::make_unique<Host>(setup, seed_));
  names_.emplace(setup.name, id);
  Host& added = *hosts_.back();
  added.random.fill(added.private_key.mutable_view());
  crypto::clamp(added.private_key.mutable_view());
  added.public_key = crypto::derive_public_key(added.private_key.view());
  added.address = {numbered(198, 18, id), kPort, 0};
  added.wall_offset = setup.clock_offset;
  added.drift_ppm = setup.clock_drift_ppm;
  addresses_.emplace(added.address, id);
  start_node(id);
  return id;
}

LinkId World::connect(NodeId first, NodeId second, const TunnelSetup& tunnel) {
  const std::string name = node_name(first) + "-" + node_name(second);
  if (first == second || link_between(first, second))
    throw std::invalid_argument("connect: " + name + ": is joined already");
  const LinkId id{static_cast<uint32_t>(links_.size())};
  links_.push_back(std::make_unique<LinkState>(
      LinkState{.name = name,
                .first = first,
                .second = second,
                .tunnel = tunnel,
                .preshared_key = {},
                .forward = {.fates = LinkFates(seed_, name, Direction::kForward), .impairment = {}},
                .backward = {.fates = LinkFates(seed_, name, Direction::kBackward), .impairment = {}}}));
  links_by_ends_.emplace(std::minmax(first, second), id);
  host(first).links.push_back(id);
  host(second).links.push_back(id);
  LinkState& joined = link(id);
  if (tunnel.preshared_key) SeededRandom(seed_, "psk " + name).fill(joined.preshared_key.mutable_view());
  if (tunnel.configure) {
    configure_peer(first, second, joined);
    configure_peer(second, first, joined);
    drain(first);
    drain(second);
  }
  return id;
}

void World::start_node(NodeId id) {
  Host& starting = host(id);
  starting.node =
      std::make_unique<core::Node>(portable_aeads(), starting.random, starting.setup.options, node_time(id));
  starting.node->set_private_key(starting.private_key, node_time(id));
}

void World::configure_peer(NodeId at, NodeId of, const LinkState& link) {
  core::Node& node = *host(at).node;
  const bool is_first = link.first == at;
  const Now time = node_time(at);
  const auto peer = node.add_peer(public_key(of), link.tunnel.suite, time);
  if (!peer)
    throw std::logic_error("configure_peer: " + link.name + ": " +
                           std::string(node_error_meaning(peer.error())));
  if (link.tunnel.preshared_key) node.set_preshared_key(*peer, link.preshared_key);
  node.set_rekey_limits(*peer, link.tunnel.rekey);
  node.allow(*peer, {inner_address(of, IpFamily::kIpv4), 32});
  node.allow(*peer, {inner_address(of, IpFamily::kIpv6), 128});
  const bool knows = is_first ? link.tunnel.first_knows_second : link.tunnel.second_knows_first;
  const auto address = public_address(of);
  if (knows && address) node.set_endpoint(*peer, {*address, std::nullopt, 0}, time);
  const auto keepalive = is_first ? link.tunnel.first_keepalive : link.tunnel.second_keepalive;
  if (keepalive.count() > 0) node.set_persistent_keepalive(*peer, keepalive, time);
}

// ── Faults ──

void World::set_impairment(LinkId id, Direction direction, const Impairment& impairment) {
  if (const auto field = invalid_field(impairment)) {
    throw std::invalid_argument("set_impairment: " + link(id).name + ": " + std::string(*field) +
                                " is out of range");
  }
  link(id).way(direction).impairment = impairment;
}

void World::set_impairment(LinkId id, const Impairment& both_directions) {
  set_impairment(id, Direction::kForward, both_directions);
  set_impairment(id, Direction::kBackward, both_directions);
}

void World::set_up(LinkId id, Direction direction, bool up) {
  link(id).way(direction).up = up;
  note(fmt::format("{} {} {}", link(id).name, direction == Direction::kForward ? "forward" : "backward",
                   up ? "up" : "down"));
}

void World::set_interceptor(LinkId id, Interceptor interceptor) {
  link(id).interceptor = std::move(interceptor);
}

void World::change_address(NodeId id) {
  Host& moving = host(id);
  ++moving.address_changes;
  const UdpAddress moved{numbered(172, static_cast<uint8_t>(16 + moving.address_changes % 16), id),
                         static_cast<uint16_t>(kPort + moving.address_changes / 16 % 1000), 0};
  if (!moving.nat) {
    addresses_.erase(moving.address);
    addresses_.emplace(moved, id);
  } else {
    addresses_.erase({moving.nat->public_address, moving.nat->port, 0});
    moving.nat->public_address = moved.address;
    moving.nat->port = 0;
  }
  moving.address = moved;
  note(fmt::format("{} moves to {}", moving.setup.name, moved.to_string()));
}

void World::put_behind_nat(NodeId id, const NatSetup& nat) {
  Host& hidden = host(id);
  if (hidden.nat)
    throw std::invalid_argument("put_behind_nat: " + hidden.setup.name + " is behind one already");
  addresses_.erase(hidden.address);
  hidden.nat = Nat{.setup = nat, .public_address = numbered(198, 19, id)};
}

void World::rebind_nat(NodeId id) {
  Host& hidden = host(id);
  if (!hidden.nat) throw std::invalid_argument("rebind_nat: " + hidden.setup.name + " is not behind a NAT");
  addresses_.erase({hidden.nat->public_address, hidden.nat->port, 0});
  hidden.nat->port = 0;
  note(fmt::format("{} loses its NAT mapping", hidden.setup.name));
}

void World::step_clock(NodeId id, Duration by) {
  host(id).wall_offset += by;
  note(fmt::format("{} clock steps {}ns", node_name(id), by.count()));
}

void World::set_clock_drift(NodeId id, int32_t ppm) {
  Host& drifting = host(id);
  drifting.wall_offset += (now_ - drifting.drift_since) * drifting.drift_ppm / 1'000'000;
  drifting.drift_since = now_;
  drifting.drift_ppm = ppm;
}

void World::restart(NodeId id) {
  Host& restarting = host(id);
  const auto timestamp = restarting.node->greatest_timestamp_sent();
  note(fmt::format("{} restarts", restarting.setup.name));
  start_node(id);
  restarting.node->restore_timestamp(timestamp);
  restarting.timer_at.reset();
  for (const LinkId joined : restarting.links) {
    const LinkState& state = link(joined);
    if (state.tunnel.configure) configure_peer(id, state.first == id ? state.second : state.first, state);
  }
  for (Observer* observer : observers_) observer->on_restart(id);
  drain(id);
}

// ── Traffic ──

PacketId World::send_packet(NodeId from, NodeId to, size_t length_bytes, IpFamily family) {
  if (length_bytes < kMinPacketBytes || length_bytes > 65'535)
    throw std::invalid_argument("send_packet: 64 … 65535 bytes");
  (void)host(to);  // throws
  const PacketId id = packets_.size();
  packets_.push_back({
      .from = from,
      .to = to,
      .sent_at = now_,
      .length_bytes = length_bytes,
  });
  note(fmt::format("{} packet {} to {} {}B", node_name(from), id, node_name(to), length_bytes));
  const auto packet = build_packet(inner_address(from, family), inner_address(to, family), id, length_bytes);
  core::Node& node = *host(from).node;
  seal_buffer_.resize(std::max(seal_buffer_.size(), node.sealed_bytes(packet.size())));
  const auto sent = node.send_packet(packet, seal_buffer_, node_time(from));
  if (!sent) {
    packets_.back().refused = sent.error();
    note(fmt::format("{} refuses packet {}: {}", node_name(from), id, core::drop_name(sent.error())));
  } else if (*sent) {
    transmit(from, **sent);
  }
  drain(from);
  return id;
}

void World::send_raw_packet(NodeId from, BytesView ip_packet) {
  core::Node& node = *host(from).node;
  seal_buffer_.resize(std::max(seal_buffer_.size(), node.sealed_bytes(ip_packet.size())));
  const auto sent = node.send_packet(ip_packet, seal_buffer_, node_time(from));
  if (!sent) {
    note(fmt::format("{} refuses raw packet: {}", node_name(from), core::drop_name(sent.error())));
  } else if (*sent) {
    transmit(from, **sent);
  }
  drain(from);
}

void World::inject(NodeId to, const UdpAddress& from, BytesView datagram, Duration delay) {
  const auto address = public_address(to);
  if (!address) {
    note(fmt::format("injected {}B for {}: no mapping", datagram.size(), node_name(to)));
    return;
  }
  note(fmt::format("injected > {} {} {}B {:016x} +{} from {}", node_name(to),
                   message_class_name(classify_payload(datagram)), datagram.size(), digest(datagram),
                   delay.count(), from.to_string()));
  launch({.to = to, .source = from, .destination = *address, .bytes = {datagram.begin(), datagram.end()}},
         now_ + delay);
}

bool World::has_mapping(const Host& host) const {
  return host.nat->port != 0 && now_ - host.nat->last_outbound <= host.nat->setup.mapping_timeout;
}

UdpAddress World::outbound_address(Host& from, const UdpAddress& to) {
  if (!from.nat) return from.address;
  Nat& nat = *from.nat;
  const NodeId id = names_.find(from.setup.name)->second;
  if (!has_mapping(from)) {
    addresses_.erase({nat.public_address, nat.port, 0});
    do {
      nat.port = static_cast<uint16_t>(from.random.between(1024, 65'535));
    } while (addresses_.contains({nat.public_address, nat.port, 0}));
    nat.contacted.clear();
    addresses_.emplace(UdpAddress{nat.public_address, nat.port, 0}, id);
  }
  nat.last_outbound = now_;
  nat.contacted.insert(to);
  return {nat.public_address, nat.port, 0};
}

void World::transmit(NodeId id, const core::Transmit& transmit) {
  const MessageClass message = classify_payload(transmit.datagram);
  for (Observer* observer : observers_) {
    observer->on_transmit({now_, id, transmit.to.remote, transmit.peer, message, transmit.datagram});
  }
  Host& from = host(id);
  const UdpAddress source = outbound_address(from, transmit.to.remote);
  const auto owner = addresses_.find(transmit.to.remote);
  const auto joined = owner == addresses_.end() ? std::nullopt : link_between(id, owner->second);
  if (!joined) {
    note(fmt::format("{} > {} {} {}B: nobody there", from.setup.name, transmit.to.remote.to_string(),
                     message_class_name(message), transmit.datagram.size()));
    return;
  }
  const Direction direction = link(*joined).first == id ? Direction::kForward : Direction::kBackward;
  carry(*joined, direction, message,
        {.to = owner->second,
         .source = source,
         .destination = transmit.to.remote,
         .tos = transmit.tos,
         .bytes = {transmit.datagram.begin(), transmit.datagram.end()}});
}

void World::carry(LinkId id, Direction direction, MessageClass message, Datagram datagram) {
  const LinkState& joined = link(id);
  const NodeId sender = direction == Direction::kForward ? joined.first : joined.second;
  auto instead = joined.interceptor ? joined.interceptor(sender, message, datagram.bytes) : std::nullopt;
  if (!instead) return carry_on(id, direction, node_name(sender), std::move(datagram));
  note(fmt::format("{} > {} {} {}B {:016x} {}", node_name(sender), node_name(datagram.to),
                   message_class_name(message), datagram.bytes.size(), digest(datagram.bytes),
                   instead->empty() ? "lost: adversary" : "taken"));
  for (Onward& onward : *instead) {
    Datagram changed = datagram;
    changed.bytes = std::move(onward.bytes);
    schedule(now_ + onward.delay,
             [id, direction, changed](World& world) { world.carry_on(id, direction, "adversary", changed); });
  }
}

void World::carry_on(LinkId id, Direction direction, std::string_view sender, Datagram datagram) {
  LinkState& joined = link(id);
  const MessageClass message = classify_payload(datagram.bytes);
  LinkState::Way& way = joined.way(direction);
  const LinkFates::Decision decision = way.fates.next(way.impairment, message);
  Fate fate = decision.fate;
  Fate plain;
  plain.delay = way.impairment.delay;
  if (fate != plain) {
    const DecisionKey key{id, direction, message, decision.ordinal};
    if (!kept_ || kept_->contains(key)) {
      decisions_.emplace_back(key, fate);
    } else {
      fate = plain;
    }
  }
  const size_t packet_bytes =
      header_bytes(datagram.destination.address.family()) + kUdpHeaderBytes + datagram.bytes.size();
  const auto say = [&](std::string_view what) {
    note(fmt::format("{} > {} {} #{} {}B {:016x} {}", sender, node_name(datagram.to),
                     message_class_name(message), decision.ordinal, datagram.bytes.size(),
                     digest(datagram.bytes), what));
  };
  if (!way.up) return say("lost: down");
  if (way.impairment.mtu_bytes != 0 && packet_bytes > way.impairment.mtu_bytes) return say("lost: mtu");
  switch (fate.loss) {
    case LossCause::kDropList:
      return say("lost: list");
    case LossCause::kLoss:
      return say("lost: loss");
    case LossCause::kBurst:
      return say("lost: burst");
    case LossCause::kNone:
      break;
  }
  Instant start = now_;
  if (way.impairment.rate_bits_per_second != 0) {
    while (!way.departures.empty() && way.departures.front() <= now_) way.departures.pop_front();
    if (way.departures.size() >= way.impairment.queue_packets) return say("lost: queue");
    const Duration on_wire{
        static_cast<int64_t>(packet_bytes * 8 * 1'000'000'000 / way.impairment.rate_bits_per_second)};
    start = (way.departures.empty() ? now_ : way.departures.back()) + on_wire;
    way.departures.push_back(start);
  }
  say(fmt::format("+{}{}", (start - now_ + fate.delay).count(), fate.corrupt ? " corrupt" : ""));
  if (fate.corrupt) corrupt_bytes(*fate.corrupt, datagram.bytes);
  if (fate.duplicate_delay) launch(datagram, start + *fate.duplicate_delay);
  launch(std::move(datagram), start + fate.delay);
}

void World::launch(Datagram datagram, Instant arrival) {
  uint32_t slot = 0;
  if (free_datagrams_.empty()) {
    slot = static_cast<uint32_t>(datagrams_.size());
    datagrams_.push_back(std::move(datagram));
  } else {
    slot = free_datagrams_.back();
    free_datagrams_.pop_back();
    datagrams_[slot] = std::move(datagram);
  }
  push(arrival, What::kDatagram, slot);
}

void World::arrive(Datagram datagram) {
  Host& at = host(datagram.to);
  const uint64_t name = digest(datagram.bytes);
  const MessageClass message = classify_payload(datagram.bytes);
  const auto say = [&](std::string_view what) {
    note(fmt::format("{} < {} {} {}B {:016x} {}", at.setup.name, datagram.source.to_string(),
                     message_class_name(message), datagram.bytes.size(), name, what));
  };
  if (at.nat &&
      (!has_mapping(at) || UdpAddress{at.nat->public_address, at.nat->port, 0} != datagram.destination)) {
    return say("lost: nat");
  }
  if (at.nat && at.nat->setup.restricted && !at.nat->contacted.contains(datagram.source))
    return say("lost: nat filter");
  if (!at.nat && at.address != datagram.destination) return say("lost: moved");

  std::vector<uint8_t> buffer = datagram.bytes;  // decrypted in place
  const core::Endpoint from{datagram.source, at.address.address, 0};
  ReceiveSeen seen{now_, datagram.to, datagram.source, message, datagram.bytes, {}, {}, {}};
  for (Observer* observer : observers_) observer->on_arrival(seen);
  const auto result = at.node->receive_datagram(from, datagram.tos & 3, buffer, node_time(datagram.to));
  if (result) {
    seen.packet = result->packet;
    seen.peer = result->peer;
    say("accepted");
    if (!result->packet.empty()) deliver(datagram.to, result->packet);
  } else {
    seen.drop = result.error();
    say(core::drop_name(result.error()));
  }
  for (Observer* observer : observers_) observer->on_receive(seen);
  drain(datagram.to);
  for (Observer* observer : observers_) observer->on_receive_done(seen);
}

void World::deliver(NodeId id, BytesView packet) {
  const auto packet_id = identify(id, packet);
  if (!packet_id)
    return note(fmt::format("{} delivers unknown {}B {:016x}", node_name(id), packet.size(), digest(packet)));
  PacketRecord& record = packets_[*packet_id];
  if (record.delivered_count++ == 0) record.delivered_at = now_;
  note(fmt::format("{} delivers packet {}", node_name(id), *packet_id));
}

std::optional<PacketId> World::identify(NodeId at, BytesView ip_packet) const {
  if (ip_packet.size() < kMinPacketBytes) return std::nullopt;
  const IpFamily family = ip_packet[0] >> 4 == 4 ? IpFamily::kIpv4 : IpFamily::kIpv6;
  const auto id = load_le<uint64_t>(&ip_packet[header_bytes(family) + kUdpHeaderBytes]);
  if (id >= packets_.size() || packets_[id].to != at) return std::nullopt;
  const PacketRecord& record = packets_[id];
  const auto sent =
      build_packet(inner_address(record.from, family), inner_address(at, family), id, record.length_bytes);
  if (!std::equal(sent.begin(), sent.end(), ip_packet.begin(), ip_packet.end())) return std::nullopt;
  return id;
}

void World::drain(NodeId id) {
  Host& busy = host(id);
  while (const auto ready = busy.node->poll_transmit(node_time(id))) transmit(id, *ready);
  while (const auto event = busy.node->poll_event()) {
    note(fmt::format("{} event {} peer {}{}{}", busy.setup.name, core::event_name(event->kind),
                     event->peer.value, event->endpoint ? " " + event->endpoint->remote.to_string() : "",
                     event->drop ? " " + std::string(core::drop_name(*event->drop)) : ""));
    for (Observer* observer : observers_) observer->on_event(id, *event);
  }
  const auto due = busy.node->poll_timeout();
  if (due && (!busy.timer_at || *due < *busy.timer_at)) {
    busy.timer_at = std::max(*due, now_);
    push(*busy.timer_at, What::kTimer, id.value);
  }
}

// ── Time ──

void World::push(Instant when, What what, uint32_t index) {
  pending_.push({when, next_sequence_++, what, index});
}

void World::schedule(Instant when, std::function<void(World&)> action) {
  if (when < now_) throw std::invalid_argument("schedule: that time has passed");
  actions_.push_back(std::move(action));
  push(when, What::kAction, static_cast<uint32_t>(actions_.size() - 1));
}

void World::run_until(Instant when) {
  while (!pending_.empty() && pending_.top().when <= when) {
    const Pending next = pending_.top();
    pending_.pop();
    now_ = std::max(now_, next.when);
    switch (next.what) {
      case What::kDatagram:
        free_datagrams_.push_back(next.index);
        arrive(std::move(datagrams_[next.index]));
        break;
      case What::kAction: {
        const auto action = std::move(actions_[next.index]);
        action(*this);
        break;
      }
      case What::kTimer: {
        const NodeId id{next.index};
        Host& timed = host(id);
        if (timed.timer_at != next.when) break;  // an earlier one took its place
        timed.timer_at.reset();
        timed.timers_this_instant = timed.last_timer == now_ ? timed.timers_this_instant + 1 : 0;
        timed.last_timer = now_;
        if (timed.timers_this_instant > kMaxTimersPerInstant) {
          throw std::logic_error("run_until: the timers of " + timed.setup.name + " stay due");
        }
        const auto due = timed.node->poll_timeout();
        if (due && *due <= now_) {
          timed.node->handle_timeout(node_time(id));
          for (Observer* observer : observers_) observer->on_timeout(id, now_);
        }
        drain(id);
        break;
      }
    }
  }
  now_ = std::max(now_, when);
}

// ── Reading ──

std::pair<NodeId, NodeId> World::link_ends(LinkId id) const {
  return {link(id).first, link(id).second};
}

std::optional<LinkId> World::link_between(NodeId a, NodeId b) const {
  const auto found = links_by_ends_.find(std::minmax(a, b));
  if (found == links_by_ends_.end()) return std::nullopt;
  return found->second;
}

std::optional<PeerId> World::peer_id(NodeId at, NodeId of) const {
  return host(at).node->find_peer(public_key(of));
}

std::optional<UdpAddress> World::public_address(NodeId id) const {
  const Host& asked = host(id);
  if (!asked.nat) return asked.address;
  if (!has_mapping(asked)) return std::nullopt;
  return UdpAddress{asked.nat->public_address, asked.nat->port, 0};
}

IpAddress World::inner_address(NodeId id, IpFamily family) {
  if (family == IpFamily::kIpv4) return numbered(10, 0, id);
  std::array<uint8_t, 16> bytes{0xfd};
  store_be<uint32_t>(&bytes[12], id.value + 1);
  return IpAddress::ipv6(bytes);
}

Now World::node_time(NodeId id) const {
  const Host& asking = host(id);
  const Duration drift = (now_ - asking.drift_since) * asking.drift_ppm / 1'000'000;
  const int64_t wall = (now_.time_since_epoch() + asking.wall_offset + drift).count();
  constexpr int64_t kSecond = 1'000'000'000;
  const int64_t seconds = wall >= 0 ? wall / kSecond : -((-wall + kSecond - 1) / kSecond);
  return {now_, {kStartOfTime + seconds, static_cast<uint32_t>(wall - seconds * kSecond)}};
}

}  // namespace vpn::sim
