// Medians, quantiles, spreads and ratios of what was measured.
#pragma once

#include <optional>
#include <vector>

namespace vpn::traffic {

// The value below which the share `q` (0 … 1) of the samples lies, interpolated between neighbours; empty
// without samples.
[[nodiscard]] std::optional<double> quantile(std::vector<double> samples, double q);

// What repeated measurements of one thing said.
struct Spread {
  double median = 0;
  double lowest = 0;
  double highest = 0;
};
// In the samples' unit, in any order; empty without samples.
[[nodiscard]] std::optional<Spread> spread_of(const std::vector<double>& samples);

// `of` as a multiple of `base`; empty where either was not measured, or the base is 0.
[[nodiscard]] std::optional<double> ratio(const std::optional<Spread>& of, const std::optional<Spread>& base);

}  // namespace vpn::traffic
