// random_run(): one seeded life of a small world, whatever may happen to it, judged by Invariants.
//
// A seed decides on a hub and one to three spokes, their suites, preshared keys, keepalives, NATs, clocks and
// rekey limits, and on a schedule of steps for the first minutes: traffic, weather, partitions, moves,
// rebindings, clock steps, restarts, and an adversary that replays, alters, truncates, splices, forges and
// floods. Then
//   - the faults stop, and within 15 s every tunnel must carry packets both ways again ("recovery"), without
//     losing one from then on ("steady_loss");
//   - the traffic stops, and soon nobody may send anything any more ("chatter"), and 540 s later no key may
//   be left.
//
// A run can be repeated with fewer steps and fewer packet decisions, which is how shrink() finds what a
// failure needs.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "vpn/sim/invariants.h"
#include "vpn/sim/world.h"

namespace vpn::sim {

// What of a seed's schedule is to happen. Empty optional: all of it.
struct RunSelection {
  std::optional<std::set<size_t>> steps;
  std::optional<std::set<DecisionKey>> fates;
};

struct StepRecord {
  size_t number = 0;
  Instant when{};
  std::string what;
};
struct FateRecord {
  DecisionKey key;
  std::string name;  // as parse_fate() reads it
  std::string what;  // "lost", "delayed by 3000000 ns", …
};

struct RunResult {
  std::vector<Violation> violations;
  std::string log_hash;
  std::vector<std::string> log;   // with keep_log
  std::vector<StepRecord> steps;  // those that happened
  std::vector<FateRecord> fates;  // those that held
  uint64_t packets_sent = 0;
  uint64_t packets_delivered = 0;
};

// Runs the life that the seed chooses. The same seed gives the same log; `keep_log` keeps its lines beside
// its hash.
[[nodiscard]] RunResult random_run(uint64_t seed, const RunSelection& selection = {}, bool keep_log = false);

// The fewest steps and packet decisions (that could be found by removing them in groups, then one by one)
// with which the seed still breaks the invariant named. `progress` is told of each smaller selection.
[[nodiscard]] RunSelection shrink(uint64_t seed, std::string_view invariant,
                                  const std::function<void(const RunSelection&)>& progress = {});

// Decisions as text: link number, '>' forward or '<' backward, class, '#', ordinal from 0: "0>response#1".
[[nodiscard]] std::string fate_name(const DecisionKey& key);
[[nodiscard]] std::optional<DecisionKey> parse_fate(std::string_view name);

}  // namespace vpn::sim
