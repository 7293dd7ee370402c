// TCP connections that others have made to this host.
#pragma once

#include <vector>

#include "vpn/host/firewall_rules.h"

namespace vpn::host {

// Those that stand: connected to a port that something here listens on, from another host. Empty where the
// kernel has no socket diagnosis (sock_diag(7)).
[[nodiscard]] std::vector<TcpSession> sessions_from_outside();

}  // namespace vpn::host
