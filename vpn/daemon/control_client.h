// The other end of the control socket: one request to a running daemon, ours or any other WireGuard's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"

namespace vpn::daemon {

// Sends a whole request ("get=1\n\n") and returns the answer's lines without the "errno=0" and the empty line
// that end it. An answer with another errno is an error; its text is the daemon's "error=" line where it sent
// one.
[[nodiscard]] Result<std::string, Error> ask_daemon(const std::string& interface, std::string_view request);

// Asks the daemon to end, and returns when everything it made is undone.
[[nodiscard]] Result<bool, Error> stop_daemon(const std::string& interface);

// The interfaces that have a control socket, sorted.
[[nodiscard]] std::vector<std::string> interfaces_with_daemon();

}  // namespace vpn::daemon
