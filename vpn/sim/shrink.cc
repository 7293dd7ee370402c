// shrink(): delta debugging (Zeller, "Simplifying and Isolating Failure-Inducing Input") over steps, then
// over fates.
#include <algorithm>

#include "vpn/sim/random_run.h"

namespace vpn::sim {
namespace {

// The fewest of `items` for which `fails` still holds, by leaving out ever smaller groups. `fails(items)`
// holds.
template <typename T, typename Fails>
std::vector<T> minimize(std::vector<T> items, const Fails& fails) {
  if (fails(std::vector<T>{})) return {};
  for (size_t groups = 2; items.size() >= 2;) {
    const size_t group_size = (items.size() + groups - 1) / groups;
    bool is_smaller = false;
    for (size_t begin = 0; begin < items.size(); begin += group_size) {
      std::vector<T> rest(items.begin(), items.begin() + static_cast<ptrdiff_t>(begin));
      rest.insert(rest.end(),
                  items.begin() + static_cast<ptrdiff_t>(std::min(items.size(), begin + group_size)),
                  items.end());
      if (!fails(rest)) continue;
      items = std::move(rest);
      is_smaller = true;
      break;
    }
    if (is_smaller) {
      groups = std::max<size_t>(2, groups - 1);
    } else if (group_size == 1) {
      break;
    } else {
      groups = std::min(items.size(), groups * 2);
    }
  }
  return items;
}

}  // namespace

RunSelection shrink(uint64_t seed, std::string_view invariant,
                    const std::function<void(const RunSelection&)>& progress) {
  const auto breaks = [&](const RunSelection& selection) {
    const RunResult result = random_run(seed, selection);
    return std::any_of(result.violations.begin(), result.violations.end(),
                       [&](const Violation& violation) { return violation.invariant == invariant; });
  };
  RunSelection best;
  const auto try_selection = [&](const RunSelection& selection) {
    if (!breaks(selection)) return false;
    best = selection;
    if (progress) progress(best);
    return true;
  };

  const auto shrink_steps = [&] {
    std::vector<size_t> steps;
    for (const StepRecord& step : random_run(seed, best).steps) steps.push_back(step.number);
    minimize(steps, [&](const std::vector<size_t>& kept) {
      return try_selection({std::set<size_t>(kept.begin(), kept.end()), best.fates});
    });
  };
  const auto shrink_fates = [&] {
    std::vector<DecisionKey> fates;
    for (const FateRecord& fate : random_run(seed, best).fates) fates.push_back(fate.key);
    minimize(fates, [&](const std::vector<DecisionKey>& kept) {
      return try_selection({best.steps, std::set<DecisionKey>(kept.begin(), kept.end())});
    });
  };
  shrink_steps();
  shrink_fates();
  shrink_steps();  // with fewer fates, fewer steps may do
  return best;
}

}  // namespace vpn::sim
