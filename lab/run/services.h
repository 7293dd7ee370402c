// Services: programs that a lab runs in its hosts as long as it stands.
#pragma once

#include <sys/types.h>

#include "lab/error.h"
#include "lab/run/host.h"
#include "lab/run/state_directory.h"
#include "lab/topology/topology.h"

namespace lab {

// Starts it; its output goes to its log. Returns its process.
[[nodiscard]] Result<pid_t> start_service(const StateDirectory& state, const HostNamespace& host,
                                          const Service& service);
// Waits until it listens; of a command nothing is known, so that it does not wait.
[[nodiscard]] Result<void> await_service(const StateDirectory& state, const HostNamespace& host,
                                         const Service& service);
[[nodiscard]] std::string service_log(const StateDirectory& state, const Service& service);

}  // namespace lab
