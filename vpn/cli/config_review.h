// What is allowed in a configuration and yet is likely a mistake.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/config/config.h"

namespace vpn::cli {

// Warnings, in the order of their lines: no private key, a peer that is this host itself, a peer without
// AllowedIPs, and one network claimed by two peers (the later one gets it).
[[nodiscard]] std::vector<Error> review_config(const config::Config& config, const std::string& file);
// A warning when the mode lets others than the owner read what holds keys.
[[nodiscard]] std::vector<Error> review_mode(mode_t mode, const std::string& file);

}  // namespace vpn::cli
