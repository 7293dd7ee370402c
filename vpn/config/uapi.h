// The cross-platform control protocol of WireGuard ("UAPI"), as text: the requests a daemon reads and the
// answers it writes, with our additions. Key=value lines, ended by an empty line; wireguard.com/xplatform is
// its specification.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vpn/base/result.h"
#include "vpn/config/device_change.h"

namespace vpn::config {

// The number of the interface of this name, for the zone of a link-local endpoint ("fe80::1%eth0").
using ZoneLookup = std::function<std::optional<uint32_t>(std::string_view name)>;

// Why a request was refused: the errno that the answer carries, and the line for our own log.
struct UapiError {
  int error_number = 0;  // positive: EINVAL, EPROTO, …
  int line = 0;          // of the request, from 1
  std::string key;       // never its value, which may be a secret
};

// Reads the lines of a `set` request, without "set=1" and without the empty line that ends it. The whole
// request is checked before any of it can be applied. Allowed-IPs are normalised, as `wg` expects.
[[nodiscard]] Result<DeviceChange, UapiError> parse_set(std::string_view lines, const ZoneLookup& zone = {});
// The lines of a `set` request that asks for the change.
[[nodiscard]] std::string emit_set(const DeviceChange& change);

// One session, in the additions to `get`.
struct SessionReport {
  std::string slot;  // "current", "previous", "next"
  bool initiator = false;
  std::chrono::seconds age{0};
  uint64_t sent_messages = 0;
  friend bool operator==(const SessionReport&, const SessionReport&) = default;
};

struct EndpointVisit {
  UdpAddress address;
  int64_t since_unix_seconds = 0;
  friend bool operator==(const EndpointVisit&, const EndpointVisit&) = default;
};

struct PeerReport {
  PublicKey public_key;
  Secret<32> preshared_key;  // zeros: none
  std::optional<UdpAddress> endpoint;
  uint16_t persistent_keepalive = 0;
  int64_t last_handshake_seconds = 0;  // Unix time; 0: never
  uint32_t last_handshake_nanoseconds = 0;
  uint64_t received_bytes = 0;
  uint64_t sent_bytes = 0;
  std::vector<IpPrefix> allowed_ips;
  // Our additions.
  std::string name;
  Cipher cipher = Cipher::kChaCha20Poly1305;
  uint64_t rekey_after_bytes = 0;
  std::chrono::seconds rekey_after_time = kLongestRekeyTime;
  uint64_t staged_packets = 0;
  uint64_t roamed_count = 0;
  std::vector<SessionReport> sessions;
  std::vector<EndpointVisit> endpoint_history;  // oldest first
  friend bool operator==(const PeerReport&, const PeerReport&) = default;
};

struct DeviceReport {
  std::optional<Secret<32>> private_key;
  uint16_t listen_port = 0;
  uint32_t fwmark = 0;
  std::vector<PeerReport> peers;
  // Our additions.
  std::string version;                   // of the daemon; empty when another implementation answered
  std::string tun_offload, udp_offload;  // "tso uso", "gso gro", "off"
  std::vector<std::pair<std::string, uint64_t>> counters;  // by name: drops and send errors
  friend bool operator==(const DeviceReport&, const DeviceReport&) = default;
};

// The answer to `get`, without "errno=0" and the empty line that end it.
[[nodiscard]] std::string emit_get(const DeviceReport& report);
// Reads such an answer of any implementation; keys it does not know are passed over. EPROTO for what is
// malformed.
[[nodiscard]] Result<DeviceReport, UapiError> parse_get(std::string_view lines, const ZoneLookup& zone = {});

}  // namespace vpn::config
