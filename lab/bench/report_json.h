// What the JSON of `lab bench` and of its curves have in common.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "lab/bench/report.h"

namespace lab::bench {

// Keys in the order in which they are written.
using Json = nlohmann::ordered_json;

// What the figures were taken on; memory in GB, the load average of the last minute before the run.
[[nodiscard]] Json machine_json(const Machine& machine);

// Indented, with a line feed at its end; bytes that are not UTF-8 are replaced.
[[nodiscard]] std::string json_text(const Json& json);

}  // namespace lab::bench
