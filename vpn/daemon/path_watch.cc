#include "vpn/daemon/path_watch.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

namespace vpn::daemon {
namespace {

// What keepalives and the questions themselves come to in one step is less.
constexpr uint64_t kBusyBytes = 8192;

// The peer whose longest prefix covers the address.
const config::PeerConfig* owner_of(const config::Config& config, const IpAddress& address) {
  const config::PeerConfig* owner = nullptr;
  int longest = -1;
  for (const config::PeerConfig& peer : config.peers) {
    for (const IpPrefix& prefix : peer.allowed_ips) {
      if (!prefix.contains(address) || prefix.length <= longest) continue;
      owner = &peer;
      longest = prefix.length;
    }
  }
  return owner;
}

// 10.9.0.1 of 10.9.0.0/24.
std::optional<IpAddress> first_of(const IpPrefix& network) {
  if (network.length >= network.address.bit_count()) return std::nullopt;
  const IpAddress base = network.normalized().address;
  std::array<uint8_t, 16> bytes{};
  const BytesView from = base.bytes();
  std::copy(from.begin(), from.end(), bytes.begin());
  ++bytes[from.size() - 1];
  if (base.is_ipv4()) return IpAddress::ipv4(std::span<const uint8_t, 4>(bytes.data(), 4));
  return IpAddress::ipv6(bytes);
}

std::vector<IpAddress> addresses_to_ask(const config::Config& config) {
  std::vector<IpAddress> all;
  for (const config::PeerConfig& peer : config.peers) {
    for (const IpPrefix& prefix : peer.allowed_ips) {
      if (prefix.length == prefix.address.bit_count()) all.push_back(prefix.address);
    }
  }
  for (const IpPrefix& own : config.interface.addresses) {
    if (const auto first = first_of(own)) all.push_back(*first);
  }
  all.insert(all.end(), config.interface.dns.begin(), config.interface.dns.end());
  const auto is_own = [&](const IpAddress& address) {
    const auto& own = config.interface.addresses;
    return std::any_of(own.begin(), own.end(), [&](const IpPrefix& one) { return one.address == address; });
  };
  std::erase_if(all, is_own);
  return all;
}

}  // namespace

std::map<PublicKey, IpAddress> echo_targets(const config::Config& config) {
  std::map<PublicKey, IpAddress> targets;
  for (const IpAddress& address : addresses_to_ask(config)) {
    if (const auto* const owner = owner_of(config, address)) targets.try_emplace(owner->public_key, address);
  }
  return targets;
}

std::map<PublicKey, IpAddress> liveness_targets(const config::Config& config) {
  std::map<PublicKey, IpAddress> targets = echo_targets(config);
  for (const config::PeerConfig& peer : config.peers) {
    if (peer.persistent_keepalive == 0) targets.erase(peer.public_key);
    if (peer.persistent_keepalive == 0 || targets.contains(peer.public_key)) continue;
    for (const IpPrefix& prefix : peer.allowed_ips) {
      if (prefix.length == 0) continue;  // 0.0.0.1 is nobody's
      if (const auto first = first_of(prefix)) targets.try_emplace(peer.public_key, *first);
    }
  }
  return targets;
}

void PathWatch::open(const std::string& interface) {
  for (auto& [family, socket] : {std::pair(IpFamily::kIpv4, &ipv4_), std::pair(IpFamily::kIpv6, &ipv6_)}) {
    auto opened = host::EchoSocket::open(family, interface);
    if (!opened) {
      const bool has_none = family == IpFamily::kIpv6 && access("/proc/sys/net/ipv6", F_OK) != 0;
      log_.write(has_none ? LogLevel::kDebug : LogLevel::kWarning,
                 "neither the path MTU nor dead paths are looked for",
                 {{"error", opened.error().to_string()}});
      continue;
    }
    *socket = std::move(*opened);
    host::EchoSocket& one = **socket;
    loop_.watch(one.fd(), [this, &one] { hear(one); });
  }
}

PathWatch::~PathWatch() {
  for (auto* const socket : {&ipv4_, &ipv6_}) {
    if (*socket) loop_.unwatch((*socket)->fd());
  }
}

void PathWatch::configure(const config::Config& config, uint16_t ceiling) {
  const bool asks_sizes =
      !config.interface.mtu && config.interface.table.kind != config::RouteTable::Kind::kOff;
  std::map<PublicKey, Watched> watched;
  if (config.peers.size() <= kMostPeers) {
    for (const auto& [key, target] : liveness_targets(config)) watched[key].liveness_target = target;
    for (const auto& [key, target] : asks_sizes ? echo_targets(config) : std::map<PublicKey, IpAddress>{})
      watched[key].target = target;
  }
  const bool same_ceiling = ceiling == std::exchange(ceiling_, ceiling);
  for (auto& [key, one] : watched) {
    const auto known = watched_.find(key);
    if (known != watched_.end()) one.liveness = known->second.liveness;
    const bool goes_on = known != watched_.end() && known->second.target == one.target && same_ceiling;
    one.path = goes_on ? known->second.path : PathMtu(ceiling_for(key));
    if (goes_on) one.bytes = known->second.bytes;
  }
  watched_ = std::move(watched);
}

void PathWatch::restart(const PublicKey& peer) {
  if (const auto known = watched_.find(peer); known != watched_.end())
    known->second.path.restart(ceiling_for(peer));
}

void PathWatch::set_limits(std::map<PublicKey, uint16_t> limits) {
  if (limits == limits_) return;
  limits_.swap(limits);
  for (auto& [key, one] : watched_) {
    const auto before = limits.find(key), now = limits_.find(key);
    const bool is_same =
        before == limits.end() ? now == limits_.end() : now != limits_.end() && now->second == before->second;
    if (!is_same) restart(key);
  }
}

uint16_t PathWatch::ceiling_for(const PublicKey& peer) const {
  const auto limit = limits_.find(peer);
  return limit == limits_.end() ? ceiling_ : std::min(ceiling_, limit->second);
}

Instant PathWatch::Watched::poll_timeout() const noexcept {
  if (!target) return liveness.poll_timeout();
  return liveness_target ? std::min(path.poll_timeout(), liveness.poll_timeout()) : path.poll_timeout();
}

std::optional<Instant> PathWatch::poll_timeout() const noexcept {
  std::optional<Instant> earliest;
  for (const auto& [key, one] : watched_)
    earliest = std::min(earliest.value_or(one.poll_timeout()), one.poll_timeout());
  return earliest;
}

void PathWatch::handle_timeout(const config::DeviceReport& report, Instant now) {
  for (const config::PeerReport& peer : report.peers) {
    const auto known = watched_.find(peer.public_key);
    if (known == watched_.end()) continue;
    Watched& one = known->second;
    if (one.target && one.path.poll_timeout() <= now) look_for_sizes(one, peer, now);
    if (one.liveness_target && one.liveness.handle_timeout(peer.received_bytes, now))
      ask(*one.liveness_target, {host::kShortestEcho});
  }
}

void PathWatch::look_for_sizes(Watched& one, const config::PeerReport& peer, Instant now) {
  const uint64_t bytes = peer.received_bytes + peer.sent_bytes;
  const bool busy = bytes - std::exchange(one.bytes, bytes) >= kBusyBytes;
  const uint16_t before = one.path.mtu();
  ask(*one.target, one.path.handle_timeout(busy, now));
  if (one.path.mtu() != before)
    log_.info("path MTU found", {{"peer", peer.name}, {"mtu", std::to_string(one.path.mtu())}});
}

void PathWatch::ask(const IpAddress& target, const std::vector<uint16_t>& sizes) {
  auto& socket = target.is_ipv4() ? ipv4_ : ipv6_;
  if (!socket) return;
  for (const uint16_t size : sizes) socket->send(target, size);
}

void PathWatch::hear(host::EchoSocket& socket) {
  while (const auto answer = socket.receive()) {
    for (auto& [key, one] : watched_) {
      if (one.target && *one.target == answer->from) one.path.on_answer(answer->bytes);
    }
  }
}

std::map<PublicKey, uint16_t> PathWatch::narrow_paths() const {
  std::map<PublicKey, uint16_t> narrow;
  for (const auto& [key, one] : watched_) {
    if (one.target && one.path.mtu() < ceiling_) narrow[key] = one.path.mtu();
  }
  return narrow;
}

}  // namespace vpn::daemon
