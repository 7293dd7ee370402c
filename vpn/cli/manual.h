// The manual pages and the configuration reference, as text.
#pragma once

#include <string>

#include "vpn/cli/command_model.h"

namespace vpn::cli {

[[nodiscard]] std::string vpn_8(const ProgramModel& program);  // vpn(8), roff
[[nodiscard]] std::string vpn_conf_5(
    const ProgramModel& program);       // vpn.conf(5), roff, from config::key_docs()
[[nodiscard]] std::string config_md();  // vpn/docs/config.md, from the same

}  // namespace vpn::cli
