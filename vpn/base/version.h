// Which version of the programs this is, as git knew it when they were built.
#pragma once

#include <string_view>

namespace vpn {

// As `--version` prints it: "0.1.0", or "0.1.0+12.g1a2b3c4" twelve commits after that tag (ci/version has the
// forms).
[[nodiscard]] std::string_view version() noexcept;

// The number alone, "0.1.0": what documents name that are committed.
[[nodiscard]] std::string_view release() noexcept;

}  // namespace vpn
