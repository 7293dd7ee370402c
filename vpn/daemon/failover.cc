#include "vpn/daemon/failover.h"

#include <algorithm>

namespace vpn::daemon {

void Failover::configure(const config::Config& config, const config::ResolvedEndpoints& resolved) {
  candidates_.clear();
  for (const config::PeerConfig& peer : config.peers) {
    auto addresses = config::candidates_of(peer, resolved);
    if (!addresses.empty()) candidates_[peer.public_key] = std::move(addresses);
  }
  std::erase_if(silent_, [this](const auto& one) { return !candidates_.contains(one.first); });
}

void Failover::on_silent(const PublicKey& peer, const std::optional<UdpAddress>& current, Instant now) {
  const auto known = candidates_.find(peer);
  if (known == candidates_.end() || silent_.contains(peer)) return;
  const auto& all = known->second;
  const bool has_another =
      std::any_of(all.begin(), all.end(), [&](const UdpAddress& one) { return one != current; });
  const bool has_roamed = current && std::find(all.begin(), all.end(), *current) == all.end();
  silent_[peer] = {current, has_roamed ? current : std::nullopt, 0,
                   has_another ? now : now + kAttemptsOfTheProtocol};
}

std::optional<Instant> Failover::poll_timeout() const noexcept {
  std::optional<Instant> earliest;
  for (const auto& [peer, silence] : silent_)
    earliest = std::min(earliest.value_or(silence.due), silence.due);
  return earliest;
}

std::vector<Failover::Attempt> Failover::take_due(Instant now) {
  std::vector<Attempt> attempts;
  for (auto& [peer, silence] : silent_) {
    if (silence.due > now) continue;
    std::vector<UdpAddress> all = candidates_.at(peer);
    if (silence.roamed_to) all.push_back(*silence.roamed_to);
    const auto at = silence.current ? std::find(all.begin(), all.end(), *silence.current) : all.end();
    const UdpAddress next = at == all.end() || at + 1 == all.end() ? all.front() : *(at + 1);
    attempts.push_back({peer, next, next != silence.current});
    silence.current = next;
    const size_t rounds = std::min<size_t>(++silence.attempts / all.size(), 8);
    silence.due = now + std::min<Duration>(kFailoverStep * (1 << rounds), kLongestFailoverStep);
  }
  return attempts;
}

}  // namespace vpn::daemon
