// Where topologies are found: a path, or the name of one that ships.
#pragma once

#include <string>
#include <vector>

#include "lab/error.h"
#include "lab/topology/topology.h"

namespace lab {

struct TopologyFile {
  std::string shown;  // how messages call it
  std::string text;
};

// `name` is the path of a file (it holds a '/' or ends in ".toml"), or a topology that ships. Those lie in
// $LAB_TOPOLOGIES, or beside the running program: in the source tree, or where it was installed to.
[[nodiscard]] Result<TopologyFile> find_topology(const std::string& name);

// The names of the topologies that ship, sorted.
[[nodiscard]] std::vector<std::string> shipped_topologies();

}  // namespace lab
