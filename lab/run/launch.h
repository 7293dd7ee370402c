// Starting the keeper: from an ordinary process to process 1 of a new lab.
#pragma once

#include "lab/error.h"
#include "lab/run/keeper.h"
#include "lab/run/state_directory.h"

namespace lab {

// Forks the keeper into namespaces of its own and waits until it has built the lab, or failed to. The state
// directory exists, and is the caller's to remove on an Error.
[[nodiscard]] Result<ProcessId> launch_keeper(const StateDirectory& state, LabPlan plan);

}  // namespace lab
