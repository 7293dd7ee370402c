// Processes of `lab bench`: programs asked for their version, and programs that run in a host of the lab.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "lab/error.h"
#include "lab/run/lab.h"

namespace lab::bench {

// Runs a program with `input`, and returns what it wrote, errors included. An Error where it cannot be run.
[[nodiscard]] Result<std::string> output_of(const std::vector<std::string>& argv,
                                            const std::string& input = {});

// Starts a program in a host, in the lab's PID namespace, so that it ends with the lab at the latest. It
// reads `input`; what it writes is appended to `log`.
[[nodiscard]] Result<void> start_in_host(const Lab& lab, const std::string& host,
                                         const std::vector<std::string>& argv, const std::string& input,
                                         const std::string& log);

// The daemons of a lab, whoever started them: all in its PID namespace but the keeper and the hosts' holders.
[[nodiscard]] std::vector<pid_t> daemons_of(const Lab& lab);

}  // namespace lab::bench
