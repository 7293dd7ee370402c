// Shell completions, made from the model of the command line.
#pragma once

#include <string>

#include "vpn/cli/command_model.h"

namespace vpn::cli {

// The script that the shell reads, whole.
[[nodiscard]] std::string bash_completions(const ProgramModel& program);
[[nodiscard]] std::string zsh_completions(const ProgramModel& program);
[[nodiscard]] std::string fish_completions(const ProgramModel& program);

}  // namespace vpn::cli
