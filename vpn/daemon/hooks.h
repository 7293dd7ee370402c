// The commands a configuration runs around bringing its interface up and down.
#pragma once

#include <string>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"

namespace vpn::daemon {

// Runs each command with bash, as wg-quick does, `%i` replaced by the interface's name; waits for each. The
// first that fails is the error, and the rest are not run.
[[nodiscard]] Result<bool, Error> run_hooks(const std::vector<std::string>& commands,
                                            const std::string& interface);

}  // namespace vpn::daemon
