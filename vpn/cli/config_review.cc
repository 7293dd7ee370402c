#include "vpn/cli/config_review.h"

#include <sys/stat.h>

#include <map>

#include "vpn/cli/keys.h"

namespace vpn::cli {
std::vector<Error> review_config(const config::Config& config, const std::string& file) {
  std::vector<Error> warnings;
  const auto own_key = public_key_of(config.interface.private_key);
  if (!own_key) {
    warnings.push_back({file, 0, "PrivateKey", "missing: nothing can be sent or received",
                        "add the key to [Interface], or set it once the interface is up"});
  }
  std::map<IpPrefix, int> owners;  // the line of the [Peer] that has the network
  for (const config::PeerConfig& peer : config.peers) {
    const int line = peer.line.number;
    if (own_key && peer.public_key == *own_key) {
      warnings.push_back({file, line, "PublicKey", "this is the interface's own key: the peer is ignored",
                          "give the other host's public key"});
    }
    if (peer.allowed_ips.empty()) {
      warnings.push_back({file, line, "AllowedIPs", "missing: no packet can go to this peer or come from it",
                          "add the addresses that the peer has in the tunnel"});
    }
    if (peer.host_bits_line.number != 0) {
      warnings.push_back({file, peer.host_bits_line.number, "AllowedIPs",
                          "an address with bits beyond its prefix length stands for its whole network",
                          "write the network's first address, or /32 (IPv6: /128) for one host"});
    }
    for (const IpPrefix& prefix : peer.allowed_ips) {
      const auto [owner, is_new] = owners.emplace(prefix, line);
      if (is_new) continue;
      warnings.push_back({file, line, "AllowedIPs",
                          "this peer takes " + prefix.to_string() + " from the peer at line " +
                              std::to_string(owner->second),
                          "give each network to one peer"});
      owner->second = line;
    }
  }
  return warnings;
}

std::vector<Error> review_mode(mode_t mode, const std::string& file) {
  if ((mode & (S_IRWXG | S_IRWXO)) == 0) return {};
  const bool everyone = (mode & S_IRWXO) != 0;
  return {{file, 0, "",
           std::string("holds keys, and ") + (everyone ? "everyone" : "its group") + " may open it",
           "chmod 600 " + file}};
}

}  // namespace vpn::cli
