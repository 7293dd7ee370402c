// The status of a lab as a table for people.
#pragma once

#include <string>

namespace lab::cli {

// `status` is what Lab::status_json() gives.
[[nodiscard]] std::string status_table(const std::string& status);

}  // namespace lab::cli
