// What a configuration asks of this host that cannot be, found before anything is changed.
#pragma once

#include <functional>
#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/config.h"
#include "vpn/config/device_change.h"

namespace vpn::host {

// Whether a route with a prefix longer than this leads to an address past the tunnel.
using LeadsPastTunnel = std::function<bool(const IpAddress& to, unsigned longer_than)>;

// The first thing wrong, with its line in `file`: an endpoint that its own routes would send into the tunnel,
// a mark that is no table's number, an interface or a cgroup that is not there, keys that contradict each
// other. `mark`: that of the encrypted packets. `leads_past` is asked of endpoints inside AllowedIPs only.
[[nodiscard]] Result<bool, Error> check_config(const config::Config& config,
                                               const config::ResolvedEndpoints& resolved, uint32_t mark,
                                               const LeadsPastTunnel& leads_past, const std::string& file);

}  // namespace vpn::host
