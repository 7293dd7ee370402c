// NAT: the translation rules of a router, as an nftables ruleset, and their loading through libnftables.
#pragma once

#include <string>

#include "lab/error.h"
#include "lab/topology/topology.h"

namespace lab {

// The ruleset that makes a router translate as `nat` says; `outside` is its IPv4 address there. UDP behaves
// as the kind demands; TCP and ICMP are masqueraded. IPv6 is forwarded as it is. The source port is kept
// where it is free, as most home routers do (never with the symmetric kind). Hairpin traffic is not filtered,
// whatever the kind.
[[nodiscard]] std::string nat_ruleset(const Nat& nat, const IpAddress& outside);

// Loads a ruleset into the calling thread's network namespace. An Error holds what nftables said.
[[nodiscard]] Result<void> load_ruleset(const std::string& where, const std::string& ruleset);

}  // namespace lab
