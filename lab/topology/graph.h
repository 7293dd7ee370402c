// A picture of a topology.
#pragma once

#include <string>

#include "lab/topology/topology.h"

namespace lab {

// An SVG document: hosts and switches as boxes with their addresses, in columns, links as lines with their
// weather, tunnels as dashed curves of a colour each.
[[nodiscard]] std::string draw_svg(const Topology& topology);

}  // namespace lab
