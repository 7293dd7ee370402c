// VPN daemons that have no WireGuard control socket: openvpn and fastd, each with keys of this run.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "lab/error.h"

namespace lab::bench {

// How one end is started.
struct ForeignEnd {
  std::vector<std::string> argv;
  std::string configuration;  // on its standard input
};

struct ForeignPair {
  std::array<ForeignEnd, 2> ends;  // left, right
  std::string interface;           // the tunnel's, in both hosts; the daemons make it, we give it its address
};

// OpenVPN 2.6 over UDP, point to point, TLS with certificates known by their fingerprints, AES-256-GCM, and
// the usual advice for speed: --fast-io, larger socket buffers, a longer queue.
[[nodiscard]] Result<ForeignPair> openvpn_pair();
// fastd in TUN mode; `method` is "salsa2012+umac", or "null" (no encryption).
[[nodiscard]] Result<ForeignPair> fastd_pair(const std::string& method);

}  // namespace lab::bench
