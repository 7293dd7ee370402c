// DeviceChange: what a control-socket `set`, or the difference between two configurations, asks of a running
// device.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "vpn/base/ids.h"
#include "vpn/base/ip_address.h"
#include "vpn/base/secret.h"
#include "vpn/config/config.h"

namespace vpn::config {

struct AllowedIpChange {
  IpPrefix prefix;  // normalised
  bool remove = false;
  friend bool operator==(const AllowedIpChange&, const AllowedIpChange&) = default;
};

// What is to be sent to a peer at once, after everything else was applied.
enum class Contact : uint8_t {
  kNone,
  kRefresh,    // whatever tells it where we are now (Node::refresh_path)
  kReconnect,  // a handshake (Node::reconnect)
};

// What is unset stays as it is.
struct PeerChange {
  PublicKey public_key;
  bool remove = false;
  bool update_only = false;                 // nothing happens when the peer is unknown
  std::optional<Secret<32>> preshared_key;  // zeros: none
  std::optional<UdpAddress> endpoint;
  Contact contact = Contact::kNone;
  std::optional<uint16_t> persistent_keepalive;  // seconds; 0: off
  bool replace_allowed_ips = false;
  std::vector<AllowedIpChange> allowed_ips;  // in order
  std::optional<Cipher> cipher;
  std::optional<uint64_t> rekey_after_bytes;  // 0: no limit
  std::optional<std::chrono::seconds> rekey_after_time;

  explicit PeerChange(const PublicKey& key) : public_key(key) {}
  friend bool operator==(const PeerChange&, const PeerChange&) = default;
};

struct DeviceChange {
  std::optional<Secret<32>> private_key;  // zeros: none
  std::optional<uint16_t> listen_port;    // 0: any
  std::optional<uint32_t> fwmark;         // 0: none
  bool replace_peers = false;
  std::vector<PeerChange> peers;  // in order; a key may come more than once

  [[nodiscard]] bool is_empty() const noexcept { return *this == DeviceChange{}; }
  friend bool operator==(const DeviceChange&, const DeviceChange&) = default;
};

// The addresses that endpoint names resolved to, the one to try first in front; never none.
using ResolvedEndpoints = std::map<EndpointName, std::vector<UdpAddress>>;

// Every address of the peer, in the order in which they are to be tried, each once.
[[nodiscard]] std::vector<UdpAddress> candidates_of(const PeerConfig& peer,
                                                    const ResolvedEndpoints& resolved);

// The smallest change that turns a device set up by `running` into one set up by `wanted`: a peer of both
// that does not differ is not mentioned. A peer's endpoint is set only where its first `Endpoint` differs, so
// that one which roamed stays where it is. A name that `resolved` does not have is left unset.
[[nodiscard]] DeviceChange change_between(const Config& running, const Config& wanted,
                                          const ResolvedEndpoints& resolved);

// The keys by which the two differ that a running daemon cannot follow, because it has given the rights away
// that it would need: hooks, User, Workers and offloads. In the order of ini_keys().
[[nodiscard]] std::vector<std::string_view> keys_for_next_start(const InterfaceConfig& running,
                                                                const InterfaceConfig& wanted);

}  // namespace vpn::config
