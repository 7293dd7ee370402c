// The candidates of `lab bench`: what is measured side by side.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "lab/bench/report.h"
#include "lab/error.h"

namespace lab::bench {

enum class CandidateKind : uint8_t {
  kBareLink,   // no tunnel
  kWireguard,  // a daemon with WireGuard's control socket, or the kernel's own
  kOpenvpn,
  kFastd,
};

struct Candidate {
  std::string_view name;
  CandidateKind kind;
  std::string_view about;
  std::string_view program;      // empty: none is needed
  std::string_view remedy;       // where it is absent
  std::string_view tunnel_kind;  // of kWireguard: as a topology names it
  std::string_view detail;       // the cipher of `vpn`, fastd's method
};

// All, in the order of the report.
[[nodiscard]] const std::vector<Candidate>& all_candidates();

// Those named in "plain,vpn", in our order; all where it is empty.
[[nodiscard]] Result<std::vector<Candidate>> parse_candidates(const std::string& text);

// The start of its report: its version, or, not installed, that and the remedy.
[[nodiscard]] CandidateReport describe(const Candidate& candidate);

}  // namespace lab::bench
