// Readiness: tells whoever started the daemon that it serves, or why it does not: the process waiting for a
// background start, the service manager, the terminal.
#pragma once

#include <optional>

#include "vpn/base/error.h"
#include "vpn/io/unique_fd.h"

namespace vpn::daemon {

class Readiness {
 public:
  Readiness() = default;  // in the foreground

  // Goes to the background. In the process that was started: waits for the other, prints its error, and
  // returns the exit code. In the other: returns nothing, and goes on. To be called before there are threads.
  [[nodiscard]] std::optional<int> go_to_background();

  // The daemon serves. In the background the terminal is let go of.
  void ready();
  // It will not. Prints the error where the user sees it.
  void failed(const Error& error);
  // To the service manager only.
  void stopping();

 private:
  io::UniqueFd starter_;  // a pipe to the waiting process
};

}  // namespace vpn::daemon
