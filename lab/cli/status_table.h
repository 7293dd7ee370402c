// The status of a lab as a table for people.
#pragma once

#include <string>

namespace lab::cli {

// `status` is what Lab::status_json() gives. Where `previous` is an earlier one (else empty), rates are shown
// too.
[[nodiscard]] std::string status_table(const std::string& status, const std::string& previous);

}  // namespace lab::cli
