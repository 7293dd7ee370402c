// What an invitation consists of: the new peer as the server sees it, and the whole configuration of the one
// invited.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/config.h"
#include "vpn/daemon/secret_text.h"

namespace vpn::cli {

struct InvitationRequest {
  std::string name;      // for people; may be empty
  std::string endpoint;  // of the server: HOST or HOST:PORT, the port being ListenPort otherwise
  std::vector<IpAddress>
      addresses;  // of the client; empty: the next free one of each of the server's networks
  std::vector<IpPrefix>
      allowed_ips;             // what the client sends through the tunnel; empty: the server's networks
  std::vector<IpAddress> dns;  // for the client
  uint16_t persistent_keepalive = 25;  // of the client, in seconds; 0: off
  bool preshared_key = true;           // whether to make one
};

struct Invitation {
  config::Config client;    // keys of wg-quick only, so that any WireGuard reads it
  config::PeerConfig peer;  // for the server
};

// Makes the keys too. `taken`: networks of peers that the configuration does not know, besides its own. The
// errors name `file` or the option that mends them.
[[nodiscard]] Result<Invitation, Error> make_invitation(const config::Config& server, const std::string& file,
                                                        const std::vector<IpPrefix>& taken,
                                                        const InvitationRequest& request);

// The first address of the network that no `taken` prefix inside it covers, neither the network's own nor the
// IPv4 broadcast address. Prefixes that reach beyond the network (a route to everything) take nothing.
[[nodiscard]] std::optional<IpAddress> next_free_address(const IpPrefix& network,
                                                         const std::vector<IpPrefix>& taken);

// A name for the client's file that every WireGuard takes for an interface: at most 15 characters, then
// ".conf".
[[nodiscard]] std::string client_file_name(const Invitation& invitation);

// `text` of a configuration file with the peer's section behind it.
[[nodiscard]] daemon::SecretText with_peer(std::string_view text, const config::PeerConfig& peer);

}  // namespace vpn::cli
