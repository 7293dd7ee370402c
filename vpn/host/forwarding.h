// What the kernel changes along when this host begins to forward, and when it ceases: to be read before.
#pragma once

#include <string>
#include <vector>

#include "vpn/host/host_change.h"
#include "vpn/host/netlink.h"

namespace vpn::host {

// - net/ipv4/ip_forward switches every interface, and sets conf/all/accept_redirects to the opposite.
// - net/ipv6/conf/all/forwarding switches every interface, and takes the default routes away that the kernel
//   has from router advertisements, unless accept_ra is 2.
[[nodiscard]] ForwardingFacts look_before_forwarding(Netlink& netlink);

}  // namespace vpn::host
