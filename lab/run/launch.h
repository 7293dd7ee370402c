// Starting the keeper: from an ordinary process to process 1 of a new lab.
#pragma once

#include "lab/error.h"
#include "lab/run/keeper.h"
#include "lab/run/state_directory.h"

namespace lab {

// Forks the keeper into namespaces of its own and waits until it has built the lab, or failed to. The state
// directory exists, is claimed by `claim`, and is the caller's to remove on an Error. Where the caller is
// killed meanwhile, the keeper undoes everything.
[[nodiscard]] Result<ProcessId> launch_keeper(const StateDirectory& state, LabPlan plan,
                                              const UniqueFd& claim);

}  // namespace lab
