#include "lab/bench/candidates.h"

#include <fmt/format.h>

#include <algorithm>

#include "lab/bench/child_process.h"
#include "lab/run/tunnels.h"

namespace lab::bench {

const std::vector<Candidate>& all_candidates() {
  constexpr std::string_view kBuild = "build this project, or set LAB_PROGRAMS to where it is";
  constexpr std::string_view kPlaintext = "build the target vpn_bench_plaintext";
  constexpr std::string_view kFastdPackage = "apt-get install fastd, or ci/install-deps --bench";
  static const std::vector<Candidate> all = {
      {"plain", CandidateKind::kBareLink, "no tunnel", "", "", "", ""},
      {"plaintext", CandidateKind::kWireguard, "our data path without cryptography: the ceiling",
       "vpn_bench_plaintext", kPlaintext, "command", ""},
      {"vpn", CandidateKind::kWireguard, "ours, ChaCha20-Poly1305", "vpn", kBuild, "vpn", ""},
      {"vpn-aes", CandidateKind::kWireguard, "ours, AES-256-GCM", "vpn", kBuild, "vpn", "aes-256-gcm"},
      {"wireguard-go", CandidateKind::kWireguard, "ChaCha20-Poly1305", "wireguard-go",
       "apt-get install wireguard-go", "wireguard-go", ""},
      {"openvpn", CandidateKind::kOpenvpn, "AES-256-GCM", "openvpn",
       "apt-get install openvpn, or ci/install-deps --bench", "", ""},
      {"fastd", CandidateKind::kFastd, "salsa2012+umac", "fastd", kFastdPackage, "", "salsa2012+umac"},
      {"fastd-null", CandidateKind::kFastd, "no encryption", "fastd", kFastdPackage, "", "null"},
      {"kernel", CandidateKind::kWireguard, "the kernel's WireGuard; its CPU and memory are no process's", "",
       "", "kernel", ""},
  };
  return all;
}

Result<std::vector<Candidate>> parse_candidates(const std::string& text) {
  const std::vector<std::string> named = split_list(text);
  for (const std::string& one : named) {
    const auto is_it = [&](const Candidate& candidate) { return candidate.name == one; };
    if (std::none_of(all_candidates().begin(), all_candidates().end(), is_it)) {
      std::string known;
      for (const Candidate& candidate : all_candidates()) {
        known += fmt::format("{}{}", known.empty() ? "" : ",", candidate.name);
      }
      return fail("--candidates", fmt::format("'{}' is no candidate", one), "use some of " + known);
    }
  }
  std::vector<Candidate> chosen;
  for (const Candidate& candidate : all_candidates()) {
    if (named.empty() || std::find(named.begin(), named.end(), candidate.name) != named.end()) {
      chosen.push_back(candidate);
    }
  }
  return chosen;
}

CandidateReport describe(const Candidate& candidate) {
  CandidateReport report;
  report.name = candidate.name;
  report.about = candidate.about;
  if (candidate.program.empty()) return report;
  const auto program = find_program(std::string(candidate.program));
  if (!program) {
    report.absent = true;
    report.failures.push_back(fmt::format("not installed; remedy: {}", candidate.remedy));
    return report;
  }
  if (candidate.tunnel_kind == "command") return report;  // of one build with `vpn`
  const std::string version = output_of({*program, "--version"}).value_or("");
  report.version = version.substr(0, version.find_first_of("\n["));
  while (report.version.ends_with(' ')) report.version.pop_back();
  return report;
}

}  // namespace lab::bench
