// Config: what a wg-quick file says, as values. Nothing in it is resolved, probed or applied yet.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vpn/base/ids.h"
#include "vpn/base/ip_address.h"
#include "vpn/base/secret.h"

namespace vpn::config {

// Where in its file a value stood, for errors that show only later. Never part of a comparison.
struct SourceLine {
  int number = 0;
  friend constexpr bool operator==(SourceLine, SourceLine) noexcept { return true; }
};

enum class Cipher : uint8_t { kChaCha20Poly1305, kAes256Gcm };
[[nodiscard]] std::string_view cipher_name(Cipher cipher) noexcept;  // "chacha20-poly1305", "aes-256-gcm"
[[nodiscard]] std::optional<Cipher> parse_cipher(std::string_view text) noexcept;

// A peer's address as written: `host` is an IP address without brackets, or a name.
struct EndpointName {
  std::string host;
  uint16_t port = 0;

  // "host:port" or "[2001:db8::1%eth0]:port"; the port is 1 … 65535.
  [[nodiscard]] static std::optional<EndpointName> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  friend auto operator<=>(const EndpointName&, const EndpointName&) = default;
};

inline constexpr std::chrono::seconds kLongestRekeyTime{
    120};  // REKEY_AFTER_TIME: shorter is allowed, longer is not

struct PeerConfig {
  PublicKey public_key;
  SourceLine line;                          // of its [Peer]
  std::string name;                         // for people; may be empty
  std::optional<Secret<32>> preshared_key;  // never zeros
  std::vector<IpPrefix> allowed_ips;        // normalised, in the order written
  SourceLine host_bits_line;                // of the first that was not; 0: all were
  std::vector<EndpointName> endpoints;      // in the order of preference; empty: the peer calls us
  SourceLine endpoint_line;
  uint16_t persistent_keepalive = 0;  // seconds; 0: off
  Cipher cipher = Cipher::kChaCha20Poly1305;
  uint64_t rekey_after_bytes = 0;  // 0: no limit by volume
  std::chrono::seconds rekey_after_time = kLongestRekeyTime;

  friend bool operator==(const PeerConfig&, const PeerConfig&) = default;
};

// `Table =` of wg-quick: where the routes of the allowed-IPs go.
struct RouteTable {
  enum class Kind : uint8_t { kAuto, kOff, kNumber } kind = Kind::kAuto;
  uint32_t number = 0;  // with kNumber
  friend bool operator==(const RouteTable&, const RouteTable&) = default;
};

struct Hooks {
  std::vector<std::string> pre_up, post_up, pre_down, post_down;  // commands, "%i" not yet replaced
  [[nodiscard]] bool any_down() const noexcept { return !pre_down.empty() || !post_down.empty(); }
  friend bool operator==(const Hooks&, const Hooks&) = default;
};

inline constexpr uint16_t kMostWorkers = 64;

struct InterfaceConfig {
  std::optional<Secret<32>> private_key;  // as written, not clamped
  uint16_t listen_port = 0;               // 0: any
  uint16_t workers = 0;                   // threads that carry packets; 0: one for each core
  SourceLine listen_port_line;
  uint32_t fwmark = 0;              // 0: none
  std::vector<IpPrefix> addresses;  // host bits kept
  std::optional<uint16_t> mtu;      // empty: from the route to the endpoints
  std::vector<IpAddress> dns;
  std::vector<std::string> dns_search;
  RouteTable table;
  Hooks hooks;
  bool save_config = false;
  std::string user;         // own user after set-up; empty: stays who it is
  bool tun_offload = true;  // large packets from and to the TUN device, where the kernel can
  bool udp_offload = true;  // large packets from and to the UDP sockets, where the kernel can

  // The host around the tunnel (vpn/host).
  bool kill_switch = false;  // nothing leaves but through the tunnel
  SourceLine kill_switch_line;
  std::vector<IpPrefix> allow_lan;  // private networks that stay reachable past a full tunnel; normalised
  bool gateway = false;             // forwards between the tunnel and the other networks
  std::string masquerade;  // the interface whose address the peers' packets get; empty: every other one
  SourceLine masquerade_line;
  bool client_to_client = true;  // with a gateway: whether peers reach each other
  std::vector<std::string>
      tunnel_cgroups;  // only what runs in these cgroups goes through the tunnel; empty: all
  std::vector<std::string> bypass_cgroups;  // what runs in these does not
  SourceLine cgroup_line;

  friend bool operator==(const InterfaceConfig&, const InterfaceConfig&) = default;
};

struct Config {
  InterfaceConfig interface;
  std::vector<PeerConfig> peers;

  // The peer of this key, owned by the configuration; null where there is none.
  [[nodiscard]] const PeerConfig* find_peer(const PublicKey& key) const noexcept {
    for (const PeerConfig& peer : peers) {
      if (peer.public_key == key) return &peer;
    }
    return nullptr;
  }
  friend bool operator==(const Config&, const Config&) = default;
};

}  // namespace vpn::config
