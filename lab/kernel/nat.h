// NAT: the translation rules of a router, as an nftables ruleset, and their loading through libnftables.
#pragma once

#include <string>

#include "lab/error.h"
#include "lab/topology/topology.h"

namespace lab {

// The ruleset that makes a router translate as `nat` says; `outside` is its IPv4 address there. UDP behaves
// as the kind demands; TCP and ICMP are masqueraded. IPv6 is forwarded as it is. But for the symmetric kind,
// an inside socket has one outside port, whomever it speaks to, and has it alone (RFC 4787, REQ-1 and REQ-3):
// its own where that is free, as with most home routers, else a random one. Hairpin traffic is not filtered,
// whatever the kind. Strangers' UDP is dropped in silence; with `is_reachable` the router's own sockets hear
// it.
[[nodiscard]] std::string nat_ruleset(const Nat& nat, const IpAddress& outside, bool is_reachable);

// Loads a ruleset into the calling thread's network namespace. An Error holds what nftables said.
[[nodiscard]] Result<void> load_ruleset(const std::string& where, const std::string& ruleset);

}  // namespace lab
