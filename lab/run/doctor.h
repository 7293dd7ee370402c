// What this kernel and this user can do for a lab, found out by trying.
#pragma once

#include <string>
#include <vector>

namespace lab {

struct Finding {
  std::string what;
  bool well = false;
  bool needed = false;  // a lab cannot come up without it
  std::string detail;   // what was found, or what is missing means
  std::string remedy;   // where something is missing
};

// Tries everything in namespaces of a process of its own; changes nothing.
[[nodiscard]] std::vector<Finding> examine();

}  // namespace lab
