#include "lab/impair/delay_table.h"

#include <cmath>

namespace lab {
namespace {

constexpr double kTolerance = 0.05;  // of the share

size_t held_entries(const Impairment& impairment) {
  return static_cast<size_t>(std::llround(impairment.reorder * kDelayTableSize));
}

}  // namespace

DelayTable delay_table(const Impairment& impairment) {
  if (impairment.reorder == 0) return {};
  DelayTable table;
  table.sigma = impairment.jitter + impairment.reorder_hold;
  table.values.reserve(kDelayTableSize);
  const auto held = held_entries(impairment);
  const auto add_uniform = [&](size_t count, Duration middle) {
    for (size_t i = 0; i < count; ++i) {
      const double at =
          count == 1 ? 0 : 2.0 * (static_cast<double>(i) + 0.5) / static_cast<double>(count) - 1;
      const double delay =
          static_cast<double>(middle.count()) + at * static_cast<double>(impairment.jitter.count());
      table.values.push_back(static_cast<int16_t>(
          std::lround(delay / static_cast<double>(table.sigma.count()) * kDelayTableScale)));
    }
  };
  add_uniform(held, impairment.reorder_hold);
  add_uniform(kDelayTableSize - held, Duration{});
  return table;
}

bool fits_delay_table(const Impairment& impairment) {
  const double share = static_cast<double>(held_entries(impairment)) / kDelayTableSize;
  return std::abs(share - impairment.reorder) <= kTolerance * impairment.reorder;
}

}  // namespace lab
