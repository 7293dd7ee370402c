#include "vpn/traffic/statistics.h"

#include <algorithm>
#include <cmath>

namespace vpn::traffic {

std::optional<double> quantile(std::vector<double> samples, double q) {
  if (samples.empty()) return std::nullopt;
  std::sort(samples.begin(), samples.end());
  const double position = q * static_cast<double>(samples.size() - 1);
  const auto below = static_cast<size_t>(std::floor(position));
  const size_t above = std::min(below + 1, samples.size() - 1);
  const double share = position - static_cast<double>(below);
  return samples[below] + (samples[above] - samples[below]) * share;
}

std::optional<Spread> spread_of(const std::vector<double>& samples) {
  const auto median = quantile(samples, 0.5);
  if (!median) return std::nullopt;
  const auto [lowest, highest] = std::minmax_element(samples.begin(), samples.end());
  return Spread{*median, *lowest, *highest};
}

std::optional<double> ratio(const std::optional<Spread>& of, const std::optional<Spread>& base) {
  if (!of || !base || base->median == 0) return std::nullopt;
  return of->median / base->median;
}

}  // namespace vpn::traffic
