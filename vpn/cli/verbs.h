// The verbs of `vpn`. Each add_…() defines its subcommands, whose callbacks set `exit_code`: 0 done, 1 failed
// (one line on stderr says why); a wrong command line is 2, and never gets to a callback.
#pragma once

#include <string>

#include "vpn/base/error.h"

namespace CLI {
class App;
}

namespace vpn::cli {

// Prints "vpn: …" on stderr; returns 1.
int report_error(const Error& error);

// daemon, up, down, reload
void add_daemon_verbs(CLI::App& app, int& exit_code);

// `vpn-wireguard INTERFACE`, as wg-quick calls a userspace implementation. Returns the exit code.
[[nodiscard]] int run_as_userspace_implementation(const std::string& interface);

}  // namespace vpn::cli
