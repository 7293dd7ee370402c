// DelayTable: jitter and reordering as netem wants them: a table of delays, of which each packet draws one.
#pragma once

#include <cstdint>
#include <vector>

#include "lab/impair/impairment.h"

namespace lab {

inline constexpr size_t kDelayTableSize = 16384;  // NETEM_DIST_MAX
inline constexpr int kDelayTableScale = 8192;     // NETEM_DIST_SCALE

// The delays beyond Impairment::delay, in units of `sigma`/8192: uniform in ±jitter, a share `reorder` of
// them `reorder_hold` later. Empty where there is no reordering: netem's own jitter is uniform.
struct DelayTable {
  Duration sigma{};
  std::vector<int16_t> values;
};
// The table for an impairment's jitter and reordering, as netem takes it.
[[nodiscard]] DelayTable delay_table(const Impairment& impairment);

// Whether the table's 16,384 entries come within a twentieth of the share that is to be reordered. Below some
// 0.05 % they do not; below 0.003 % they would hold nothing back at all.
[[nodiscard]] bool fits_delay_table(const Impairment& impairment);

}  // namespace lab
