// A picture of a topology.
#pragma once

#include <string>

#include "lab/topology/topology.h"

namespace lab {

// An SVG document: hosts as boxes, switches as ellipses, links as lines with their weather, tunnels as dashed
// curves.
[[nodiscard]] std::string draw_svg(const Topology& topology);

}  // namespace lab
