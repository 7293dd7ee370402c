// Turn: one candidate, once: its lab comes up, it is measured, and its lab goes down.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lab/bench/candidates.h"
#include "lab/bench/probe.h"

namespace lab::bench {

struct TurnOptions {
  std::string lab;      // its name
  std::string weather;  // "delay=10ms loss=0.1%"; empty: none
  std::string engine;   // as a topology names it; empty: veth, or what the weather needs
  std::optional<uint64_t> seed;
  std::vector<std::string> measures;
  double seconds = 3;
  bool quick = false;
  // Peers that both daemons of `vpn` know besides each other, and that never speak.
  size_t further_peers = 0;
  // Instead, so many peers of the host right's daemon that do speak, in a process of the host left.
  size_t crowd = 0;
  bool jumbo = false;  // inner packets of up to 9000 bytes, over a link that carries them whole
};

// The topology of a turn, as `lab check` would read it.
[[nodiscard]] std::string topology_text(const Candidate& candidate, const TurnOptions& options);

// Adds what was measured, or why not, to the candidate's report. Nothing of the lab is left.
void run_turn(const Candidate& candidate, const TurnOptions& options, CandidateReport& report,
              const std::function<void(const std::string& measure)>& begins);

}  // namespace lab::bench
