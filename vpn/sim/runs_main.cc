// vpn_sim_runs: lives through many seeds of random_run(), and says which of them broke a promise of the
// protocol.
#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <atomic>
#include <charconv>
#include <chrono>
#include <iterator>
#include <mutex>
#include <thread>

#include "vpn/sim/random_run.h"

namespace vpn::sim {
namespace {

struct Arguments {
  uint64_t first = 1, last = 1;
  unsigned jobs = 1;
  bool log = false;
  bool twice = false;
  bool print_hash = false;
  bool shrinks = true;
  RunSelection selection;
};

struct Failure {
  uint64_t seed = 0;
  Violation violation;
};

struct Tally {
  uint64_t passed = 0;
  uint64_t packets_sent = 0, packets_delivered = 0;
  std::vector<Failure> failures;
  std::map<uint64_t, std::string> hashes;
};

std::string seconds(Instant when) {
  return fmt::format("{:.6f} s", static_cast<double>(when.time_since_epoch().count()) / 1e9);
}

std::string replay_command(uint64_t seed, const RunSelection& selection) {
  std::string command = fmt::format("build/bin/vpn_sim_runs --seeds {} --log", seed);
  if (selection.steps) command += fmt::format(" --steps '{}'", fmt::join(*selection.steps, ","));
  if (selection.fates) {
    std::vector<std::string> names;
    for (const DecisionKey& key : *selection.fates) names.push_back(fate_name(key));
    command += fmt::format(" --fates '{}'", fmt::join(names, ","));
  }
  return command;
}

void print_failure(const Failure& failure, const Arguments& arguments) {
  fmt::print("seed {}: {} at {}: {}\n  replay: {}\n", failure.seed, failure.violation.invariant,
             seconds(failure.violation.when), failure.violation.what,
             replay_command(failure.seed, arguments.selection));
  if (!arguments.shrinks) return;
  std::fflush(stdout);
  const RunSelection selection = shrink(failure.seed, failure.violation.invariant);
  const RunResult shrunk = random_run(failure.seed, selection);
  fmt::print("  shrunk to {} packet decisions and {} steps: {}\n", shrunk.fates.size(), shrunk.steps.size(),
             replay_command(failure.seed, selection));
  for (const StepRecord& step : shrunk.steps) fmt::print("    {:>12} {}\n", seconds(step.when), step.what);
  for (const FateRecord& fate : shrunk.fates) fmt::print("    {} {}\n", fate.name, fate.what);
}

Tally run_all(const Arguments& arguments) {
  Tally tally;
  std::mutex mutex;
  std::atomic<uint64_t> next{arguments.first}, done{0};
  const auto work = [&] {
    for (uint64_t seed = next++; seed <= arguments.last; seed = next++) {
      RunResult result = random_run(seed, arguments.selection, arguments.log);
      if (arguments.twice && random_run(seed, arguments.selection).log_hash != result.log_hash) {
        result.violations.push_back({"reproducible", {}, "a second run of the seed left another log"});
      }
      for (const std::string& line : result.log) fmt::print("{}\n", line);
      const std::lock_guard lock(mutex);
      if (arguments.print_hash) tally.hashes.emplace(seed, result.log_hash);
      tally.packets_sent += result.packets_sent;
      tally.packets_delivered += result.packets_delivered;
      if (result.violations.empty()) {
        ++tally.passed;
      } else {
        tally.failures.push_back({seed, result.violations.front()});
      }
      ++done;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < arguments.jobs; ++i) threads.emplace_back(work);

  const uint64_t total = arguments.last - arguments.first + 1;
  const bool shows_progress = isatty(STDERR_FILENO) == 1;
  while (shows_progress && done < total) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    fmt::print(stderr, "\r{} of {} seeds", done.load(), total);
  }
  for (std::thread& thread : threads) thread.join();
  if (shows_progress) fmt::print(stderr, "\r\033[K");
  std::sort(tally.failures.begin(), tally.failures.end(),
            [](const Failure& a, const Failure& b) { return a.seed < b.seed; });
  return tally;
}

// "17" or "1..10000".
bool parse_seeds(const std::string& text, Arguments& arguments) {
  const auto number = [](std::string_view digits, uint64_t& value) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc{} && end == digits.data() + digits.size() && !digits.empty();
  };
  const size_t dots = text.find("..");
  if (dots == std::string::npos) return number(text, arguments.first) && number(text, arguments.last);
  return number(std::string_view(text).substr(0, dots), arguments.first) &&
         number(std::string_view(text).substr(dots + 2), arguments.last) && arguments.first <= arguments.last;
}

int main_with(int argc, char** argv) {
  Arguments arguments;
  arguments.jobs = std::max(1U, std::thread::hardware_concurrency());
  std::string seeds;
  std::vector<size_t> steps;
  std::vector<std::string> fates;
  bool no_shrink = false;
  CLI::App app{"Simulated lives of small WireGuard networks, each judged by what the protocol promises.",
               "vpn_sim_runs"};
  app.add_option("--seeds", seeds, "one seed, or FROM..TO")->required();
  app.add_option("--jobs", arguments.jobs, "threads")->check(CLI::Range(1, 256))->capture_default_str();
  app.add_flag("--log", arguments.log, "print the event log (of one seed)");
  app.add_flag("--twice", arguments.twice, "run each seed twice and compare the logs");
  app.add_flag("--hash", arguments.print_hash, "print one hash over the logs of all seeds");
  app.add_flag("--no-shrink", no_shrink, "do not look for the least that still fails");
  auto* const steps_option = app.add_option("--steps", steps, "let only these steps of the schedule happen")
                                 ->delimiter(',')
                                 ->expected(0, -1);
  auto* const fates_option =
      app.add_option("--fates", fates, "let only these packet decisions hold, such as '0>response#1'")
          ->delimiter(',')
          ->expected(0, -1);
  CLI11_PARSE(app, argc, argv);

  if (!parse_seeds(seeds, arguments)) {
    fmt::print(stderr, "vpn_sim_runs: --seeds {}: not a number or FROM..TO\n", seeds);
    return 2;
  }
  if (arguments.log && arguments.first != arguments.last) {
    fmt::print(stderr, "vpn_sim_runs: --log is for one seed: name it with --seeds\n");
    return 2;
  }
  arguments.shrinks = !no_shrink && steps_option->count() == 0 && fates_option->count() == 0;
  if (steps_option->count() > 0) arguments.selection.steps = std::set<size_t>(steps.begin(), steps.end());
  if (fates_option->count() > 0) {
    arguments.selection.fates.emplace();
    for (const std::string& name : fates) {
      const auto key = parse_fate(name);
      if (name.empty()) continue;
      if (!key) {
        fmt::print(stderr, "vpn_sim_runs: --fates {}: not like '0>response#1'\n", name);
        return 2;
      }
      arguments.selection.fates->insert(*key);
    }
  }

  const auto start = std::chrono::steady_clock::now();
  const Tally tally = run_all(arguments);
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (arguments.print_hash) {
    EventLog all;
    for (const auto& [seed, hash] : tally.hashes) all.add(Instant{}, fmt::format("{} {}", seed, hash));
    fmt::print("log hash of seeds {}: {}\n", seeds, all.hash());
  }
  constexpr size_t kMaxShown = 5;
  for (size_t i = 0; i < std::min(kMaxShown, tally.failures.size()); ++i)
    print_failure(tally.failures[i], arguments);
  if (tally.failures.size() > kMaxShown) {
    fmt::print("and {} more seeds:", tally.failures.size() - kMaxShown);
    for (size_t i = kMaxShown; i < std::min<size_t>(tally.failures.size(), 50); ++i) {
      fmt::print(" {}({})", tally.failures[i].seed, tally.failures[i].violation.invariant);
    }
    fmt::print("\n");
  }
  fmt::print("{} passed, {} failed ({} packets sent, {} delivered, {:.1f} s)\n", tally.passed,
             tally.failures.size(), tally.packets_sent, tally.packets_delivered, elapsed);
  return tally.failures.empty() ? 0 : 1;
}

}  // namespace
}  // namespace vpn::sim

int main(int argc, char** argv) {
  return vpn::sim::main_with(argc, argv);
}
