#include "vpn/config/device_change.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <unordered_map>

namespace vpn::config {
namespace {

Secret<32> key_or_zeros(const std::optional<Secret<32>>& key) {
  return key ? *key : Secret<32>{};
}

template <typename T>
void set_if_different(const T& before, const T& after, std::optional<T>& out) {
  if (before != after) out = after;
}

std::vector<AllowedIpChange> allowed_changes(const std::vector<IpPrefix>& before,
                                             const std::vector<IpPrefix>& after) {
  const std::set<IpPrefix> had(before.begin(), before.end());
  const std::set<IpPrefix> wanted(after.begin(), after.end());
  std::vector<AllowedIpChange> changes;
  for (const IpPrefix& prefix : before) {
    if (!wanted.contains(prefix)) changes.push_back({prefix, true});
  }
  for (const IpPrefix& prefix : after) {
    if (!had.contains(prefix)) changes.push_back({prefix, false});
  }
  return changes;
}

// Of peers that have the same network the last one gets it, as when they are set one after the other.
using Owners = std::map<IpPrefix, PublicKey>;

Owners owners_of(const Config& config) {
  Owners owners;
  for (const PeerConfig& peer : config.peers) {
    for (const IpPrefix& prefix : peer.allowed_ips) owners[prefix] = peer.public_key;
  }
  return owners;
}

std::vector<IpPrefix> owned_by(const PeerConfig& peer, const Owners& owners) {
  std::vector<IpPrefix> owned;
  std::copy_if(peer.allowed_ips.begin(), peer.allowed_ips.end(), std::back_inserter(owned),
               [&](const IpPrefix& prefix) { return owners.at(prefix) == peer.public_key; });
  return owned;
}

// All but the networks.
PeerChange peer_change(const PeerConfig& before, const PeerConfig& after, const ResolvedEndpoints& resolved) {
  PeerChange change(after.public_key);
  set_if_different(key_or_zeros(before.preshared_key), key_or_zeros(after.preshared_key),
                   change.preshared_key);
  set_if_different(before.persistent_keepalive, after.persistent_keepalive, change.persistent_keepalive);
  set_if_different(before.cipher, after.cipher, change.cipher);
  set_if_different(before.rekey_after_bytes, after.rekey_after_bytes, change.rekey_after_bytes);
  set_if_different(before.rekey_after_time, after.rekey_after_time, change.rekey_after_time);
  const bool same_endpoint = !before.endpoints.empty() && !after.endpoints.empty() &&
                             before.endpoints.front() == after.endpoints.front();
  if (!after.endpoints.empty() && !same_endpoint) {
    const auto found = resolved.find(after.endpoints.front());
    if (found != resolved.end()) change.endpoint = found->second.front();
  }
  return change;
}

struct KeyHash {
  size_t operator()(const PublicKey& key) const noexcept {
    size_t hash = 0;
    std::memcpy(&hash, key.bytes.data(), sizeof hash);
    return hash;
  }
};
using PeersByKey = std::unordered_map<PublicKey, const PeerConfig*, KeyHash>;

PeersByKey peers_by_key(const Config& config) {
  PeersByKey peers;
  for (const PeerConfig& peer : config.peers) peers.emplace(peer.public_key, &peer);
  return peers;
}

}  // namespace

std::vector<UdpAddress> candidates_of(const PeerConfig& peer, const ResolvedEndpoints& resolved) {
  std::vector<UdpAddress> all;
  for (const EndpointName& name : peer.endpoints) {
    const auto found = resolved.find(name);
    if (found == resolved.end()) continue;
    for (const UdpAddress& address : found->second) {
      if (std::find(all.begin(), all.end(), address) == all.end()) all.push_back(address);
    }
  }
  return all;
}

DeviceChange change_between(const Config& running, const Config& wanted, const ResolvedEndpoints& resolved) {
  DeviceChange change;
  set_if_different(key_or_zeros(running.interface.private_key), key_or_zeros(wanted.interface.private_key),
                   change.private_key);
  set_if_different(running.interface.listen_port, wanted.interface.listen_port, change.listen_port);
  set_if_different(running.interface.fwmark, wanted.interface.fwmark, change.fwmark);
  const PeersByKey before = peers_by_key(running);
  const PeersByKey after = peers_by_key(wanted);
  const Owners owners_before = owners_of(running);
  const Owners owners_after = owners_of(wanted);
  for (const PeerConfig& peer : running.peers) {
    if (after.count(peer.public_key) == 0) change.peers.emplace_back(peer.public_key).remove = true;
  }
  for (const PeerConfig& peer : wanted.peers) {
    const auto known = before.find(peer.public_key);
    PeerConfig absent;
    absent.public_key = peer.public_key;
    const PeerConfig& earlier = known != before.end() ? *known->second : absent;
    PeerChange one = peer_change(earlier, peer, resolved);
    one.allowed_ips = allowed_changes(owned_by(earlier, owners_before), owned_by(peer, owners_after));
    if (known == before.end() || one != PeerChange(peer.public_key)) change.peers.push_back(std::move(one));
  }
  return change;
}

std::vector<std::string_view> keys_for_next_start(const InterfaceConfig& running,
                                                  const InterfaceConfig& wanted) {
  std::vector<std::string_view> keys;
  const auto compare = [&](std::string_view key, bool same) {
    if (!same) keys.push_back(key);
  };
  compare("PreUp", running.hooks.pre_up == wanted.hooks.pre_up);
  compare("PostUp", running.hooks.post_up == wanted.hooks.post_up);
  compare("PreDown", running.hooks.pre_down == wanted.hooks.pre_down);
  compare("PostDown", running.hooks.post_down == wanted.hooks.post_down);
  compare("User", running.user == wanted.user);
  compare("Workers", running.workers == wanted.workers);
  compare("TunOffload", running.tun_offload == wanted.tun_offload);
  compare("UdpOffload", running.udp_offload == wanted.udp_offload);
  return keys;
}

}  // namespace vpn::config
