// The command line of `vpn` as a whole.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vpn/cli/verbs.h"

namespace vpn::cli {

// The model of the command line: every verb, option and text of the help. `chosen` receives the work of the
// verb that is parsed; it must outlive the model.
[[nodiscard]] std::unique_ptr<CLI::App> make_app(Action& chosen);

// Parses the arguments (without the program's name) and runs the verb. Returns the exit code: 2 with one line
// on `err` for a wrong command line, 1 too when `out` could not be written.
[[nodiscard]] int run_command_line(std::vector<std::string> arguments, Io& io);

// `vpn` under the name vpn-wireguard, called as "vpn-wireguard wg0" (wg-quick does): a daemon in the
// background.
[[nodiscard]] int run_stand_in(const std::vector<std::string>& arguments, Io& io);

}  // namespace vpn::cli
