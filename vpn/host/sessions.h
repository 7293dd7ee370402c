// Connections of this host: those that others have made to it, and those that go through a tunnel.
#pragma once

#include <vector>

#include "vpn/host/firewall_rules.h"

namespace vpn::host {

// Those that stand: connected to a port that something here listens on, from another host. Empty where the
// kernel has no socket diagnosis (sock_diag(7)).
[[nodiscard]] std::vector<TcpSession> sessions_from_outside();

// Breaks the IPv6 connections, TCP's and UDP's, that have one of these addresses as their source, where it is
// an address of this host no longer: the kernel would go on sending what they have to say, from that source,
// by whatever route there is. (Of IPv4 it sends nothing from an address that is not its own.) Returns how
// many could not be broken.
size_t break_connections_from(const std::vector<IpAddress>& addresses);

}  // namespace vpn::host
