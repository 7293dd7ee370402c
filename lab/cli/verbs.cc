#include "lab/cli/verbs.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "lab/cli/status_table.h"
#include "lab/kernel/namespaces.h"
#include "lab/run/doctor.h"
#include "lab/run/lab.h"
#include "lab/run/topology_files.h"
#include "lab/topology/graph.h"
#include "lab/vm/vm.h"

namespace lab::cli {
namespace {

constexpr std::chrono::seconds kWatchInterval{1};
constexpr std::chrono::milliseconds kFollowInterval{100};

template <typename T>
int finish(const Result<T>& result) {
  return result ? 0 : complain(result.error());
}

Result<std::vector<Setting>> parse_settings(const std::vector<std::string>& texts) {
  std::vector<Setting> settings;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return fail("", fmt::format("--set {} is no assignment", text), "write --set KEY=VALUE");
    }
    settings.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return settings;
}

// Each line ends by clearing what an earlier, longer one left behind it.
std::string over_lines(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\n') result += "\x1b[K";
    result += c;
  }
  return result;
}

Result<ParsedTopology> load(const std::string& name, const std::vector<std::string>& texts) {
  const auto file = find_topology(name);
  if (!file) return fail(file.error());
  const auto settings = parse_settings(texts);
  if (!settings) return fail(settings.error());
  return parse_topology(file->text, file->shown, *settings);
}

}  // namespace

int complain(const Error& error) {
  fmt::print(stderr, "lab: {}\n", error.to_string());
  return 1;
}

int up(const UpArguments& arguments) {
  const auto start = std::chrono::steady_clock::now();
  auto parsed = load(arguments.topology, arguments.settings);
  if (!parsed) return complain(parsed.error());
  for (const Error& problem : parsed->problems) complain(problem);
  if (!parsed->problems.empty()) return 1;
  const auto lab = Lab::up(std::move(parsed->topology), {arguments.name, arguments.seed});
  if (!lab) return complain(lab.error());
  const auto status = lab->status_json();
  if (!status) return complain(status.error());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  fmt::print("{}up in {:.2f} s\n", status_table(*status, ""), took.count());
  return 0;
}

int down(const std::string& name) {
  return finish(Lab::down(name));
}

int list() {
  for (const std::string& name : StateDirectory::names()) {
    const auto lab = Lab::open(name);
    const auto status = lab ? lab->status_json() : Result<std::string>(fail(lab.error()));
    if (!status) {
      fmt::print("{}  {}; {} it with 'lab down --name {}'\n", name,
                 lab ? "is coming up or going down" : "left behind", lab ? "end" : "remove", name);
      continue;
    }
    const auto json = nlohmann::json::parse(*status);
    fmt::print("{}  {}  {} hosts, {} links, up {:.0f} s, seed {}\n", name,
               json["topology"].get<std::string>(), json["hosts"].size(), json["links"].size(),
               json["uptime_seconds"].get<double>(), json["seed"].get<uint64_t>());
  }
  return 0;
}

int status(const std::string& name, bool json, bool watch) {
  const bool on_screen = watch && !json && ::isatty(STDOUT_FILENO) != 0;
  for (std::string previous;;) {
    const auto lab = Lab::open(name);
    const auto text = lab ? lab->status_json() : Result<std::string>(fail(lab.error()));
    if (!text && !previous.empty()) {
      fmt::print(stderr, "lab '{}' is down\n", name);
      return 0;
    }
    if (!text) return complain(text.error());
    // In place, line by line: a screen that is cleared first flickers.
    std::string shown = json ? *text + "\n" : status_table(*text, previous);
    if (on_screen) shown = "\x1b[H" + over_lines(shown) + "\x1b[J\nevery second; Ctrl-C ends this\x1b[K\n";
    fmt::print("{}", shown);
    if (!watch) return 0;
    std::fflush(stdout);
    previous = *text;
    std::this_thread::sleep_for(kWatchInterval);
  }
}

int exec(const std::string& name, const std::string& host, const std::vector<std::string>& command) {
  const auto lab = Lab::open(name);
  if (!lab) return complain(lab.error());
  const auto result = lab->run(host, command);
  return result ? *result : complain(result.error());
}

int shell(const std::string& name, const std::string& host) {
  const char* program = std::getenv("SHELL");  // NOLINT(concurrency-mt-unsafe)
  return exec(name, host, {program != nullptr && *program != '\0' ? program : "/bin/sh"});
}

int impair(const std::string& name, const std::string& link, const std::vector<std::string>& changes) {
  const auto lab = Lab::open(name);
  if (!lab) return complain(lab.error());
  return finish(lab->impair(link, fmt::format("{}", fmt::join(changes, " "))));
}

int link(const std::string& name, const std::string& link, const std::string& state) {
  const auto lab = Lab::open(name);
  if (!lab) return complain(lab.error());
  return finish(lab->set_link_up(link, state == "up"));
}

int capture(const CaptureArguments& arguments) {
  const auto lab = Lab::open(arguments.name);
  if (!lab) return complain(lab.error());
  const auto captured =
      lab->capture(arguments.target, arguments.file, {arguments.packets, arguments.seconds},
                   [&] { fmt::print(stderr, "capturing {}; end with Ctrl-C\n", arguments.target); });
  if (!captured) return complain(captured.error());
  const bool to_output = arguments.file == "-";
  fmt::print(to_output ? stderr : stdout, "{} packets in {}\n", captured->packets,
             to_output ? "standard output" : arguments.file);
  if (captured->lost > 0) {
    fmt::print(stderr, "lab: the capture lacks {} packets; remedy: send less, or capture one link alone\n",
               captured->lost);
  }
  return 0;
}

int events(const std::string& name, bool follow) {
  const StateDirectory state(name);
  std::ifstream stream(state.file("events.jsonl"));
  if (!stream || !state.exists())
    return complain({"", fmt::format("there is no lab '{}'", name), "see 'lab list'"});
  for (;;) {
    // Asked first: what the keeper wrote at its end is then read below.
    const bool ended = !follow || !state.live_keeper();
    for (std::string line; std::getline(stream, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, false);
      if (!json.is_object()) continue;
      fmt::print("{:10.3f} s  {:<14} {:<16} {}\n", json.value("at", 0.0), json.value("what", ""),
                 json.value("about", ""), json.value("detail", ""));
    }
    if (ended) return 0;
    std::fflush(stdout);
    stream.clear();
    std::this_thread::sleep_for(kFollowInterval);
  }
}

int graph(const std::string& topology, const std::vector<std::string>& settings, const std::string& file) {
  const auto parsed = load(topology, settings);
  if (!parsed) return complain(parsed.error());
  for (const Error& problem : parsed->problems) complain(problem);
  if (!parsed->problems.empty()) return 1;
  const std::string svg = draw_svg(parsed->topology);
  if (file.empty()) {
    fmt::print("{}", svg);
    return 0;
  }
  return finish(write_file(file, svg));
}

int doctor() {
  bool possible = true;
  for (const Finding& finding : examine()) {
    const char* const verdict = finding.well ? "ok" : finding.needed ? "MISSING" : "missing";
    fmt::print("{:<8} {}: {}{}{}\n", verdict, finding.what, finding.detail,
               finding.well ? "" : "; remedy: ", finding.remedy);
    possible &= finding.well || !finding.needed;
  }
  return possible ? 0 : 1;
}

int cleanup() {
  const auto removed = Lab::cleanup();
  if (!removed) return complain(removed.error());
  for (const std::string& name : *removed) fmt::print("removed what was left of '{}'\n", name);
  return 0;
}

int vm_run(const VmArguments& arguments) {
  return complain(run_in_vm({arguments.machine == "qemu" ? Machine::kQemu : Machine::kUml, arguments.memory,
                             arguments.limit_seconds, arguments.writable},
                            arguments.command));
}

int check(const std::string& topology, const std::vector<std::string>& settings) {
  const auto parsed = load(topology, settings);
  if (!parsed) return complain(parsed.error());
  for (const Error& problem : parsed->problems) complain(problem);
  if (!parsed->problems.empty()) return 1;
  fmt::print("{}: sound ({} hosts, {} links, {} tunnels)\n", parsed->topology.file,
             parsed->topology.hosts.size(), parsed->topology.links.size(), parsed->topology.tunnels.size());
  return 0;
}

}  // namespace lab::cli
