// NetemLimits: how far the kernel's netem carries out the weather's model (lab/engines/netem.h says how).
#pragma once

#include <string>

#include "lab/impair/impairment.h"

namespace lab {

// What netem cannot do of this; nothing where it can do all of it.
[[nodiscard]] std::string beyond_netem(const Impairment& impairment);

// What netem does, but in another way than the model says; nothing where it is all the same.
[[nodiscard]] std::string unlike_in_netem(const Impairment& impairment);

}  // namespace lab
