// What a configuration asks of this host that cannot be, found before anything is changed.
#pragma once

#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/config.h"
#include "vpn/config/device_change.h"

namespace vpn::host {

// The first thing wrong, with its line in `file`: an endpoint that its own routes would send into the tunnel,
// a mark that is no table's number, an interface or a cgroup that is not there, keys that contradict each
// other. `mark`: that of the encrypted packets.
[[nodiscard]] Result<bool, Error> check_config(const config::Config& config,
                                               const config::ResolvedEndpoints& resolved, uint32_t mark,
                                               const std::string& file);

}  // namespace vpn::host
