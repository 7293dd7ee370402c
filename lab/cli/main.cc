// `lab`: hosts, links and weather on one machine, from one command.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "lab/cli/verbs.h"
#include "vpn/base/version.h"

namespace {

// What the command line fills in, and the exit status of the verb that was called.
struct Arguments {
  int status = 0;
  std::string name = "lab";
  lab::cli::UpArguments up;
  bool json = false;
  bool watch = false;
  std::string host;
  std::vector<std::string> command;
  std::string link;
  std::vector<std::string> changes;
  std::string state;
  lab::cli::CaptureArguments capture;
  bool follow = false;
  lab::cli::VmArguments vm;
  std::string topology;
  std::string file;
  lab::cli::BenchArguments bench;
};

// What CLI11 itself would say of these is a range with three hundred digits, or nothing.
std::string is_whole_number(const std::string& text) {
  const bool well = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  return well ? "" : "'" + text + "' is no whole number";
}

std::string is_positive(const std::string& text) {
  return std::strtod(text.c_str(), nullptr) > 0 ? "" : "'" + text + "' is no number above 0";
}

std::string is_size(const std::string& text) {
  const bool has_unit = text.ends_with('K') || text.ends_with('M') || text.ends_with('G');
  const bool well = has_unit && is_whole_number(text.substr(0, text.size() - 1)).empty();
  return well ? "" : "'" + text + "' is no size such as 512M or 2G";
}

void add_name(CLI::App* verb, Arguments& arguments) {
  verb->add_option("--name,-n", arguments.name, "Which lab, where there are several")->capture_default_str();
}

void add_life_verbs(CLI::App& app, Arguments& arguments) {
  CLI::App* verb = app.add_subcommand("up", "Bring a topology up");
  verb->add_option("topology", arguments.up.topology, "A topology that ships, or a file")
      ->capture_default_str();
  verb->add_option("--seed", arguments.up.seed, "Of the weather: the same seed loses the same packets")
      ->check(is_whole_number);
  verb->add_option("--set", arguments.up.settings, "KEY=VALUE: a parameter of the topology")
      ->allow_extra_args(false);
  add_name(verb, arguments);
  verb->callback([&arguments] {
    arguments.up.name = arguments.name;
    arguments.status = lab::cli::up(arguments.up);
  });

  verb = app.add_subcommand("down", "Take a lab down; nothing of it is left");
  add_name(verb, arguments);
  verb->callback([&arguments] { arguments.status = lab::cli::down(arguments.name); });

  app.add_subcommand("list", "All labs that stand, or were left behind")->callback([&arguments] {
    arguments.status = lab::cli::list();
  });

  verb = app.add_subcommand("status", "Hosts, links, weather, tunnels, counters");
  verb->add_flag("--json", arguments.json, "As JSON");
  verb->add_flag("--watch,-w", arguments.watch, "Again every second, with rates");
  add_name(verb, arguments);
  verb->callback(
      [&arguments] { arguments.status = lab::cli::status(arguments.name, arguments.json, arguments.watch); });
}

void add_host_verbs(CLI::App& app, Arguments& arguments) {
  CLI::App* verb = app.add_subcommand("exec", "Run a program in a host");
  verb->add_option("host", arguments.host, "The host")->required();
  verb->add_option("command", arguments.command, "After --: the program and its arguments")->required();
  add_name(verb, arguments);
  verb->callback([&arguments] {
    if (arguments.command.front() == "--")
      arguments.command.erase(arguments.command.begin());  // CLI11 keeps it behind a positional
    arguments.status = lab::cli::exec(arguments.name, arguments.host, arguments.command);
  });

  verb = app.add_subcommand("shell", "A shell in a host");
  verb->add_option("host", arguments.host, "The host")->required();
  add_name(verb, arguments);
  verb->callback([&arguments] { arguments.status = lab::cli::shell(arguments.name, arguments.host); });
}

void add_link_verbs(CLI::App& app, Arguments& arguments) {
  CLI::App* verb = app.add_subcommand(
      "impair", "Change the weather of a link: LINK[:SENDER] loss=5% delay=20ms±5ms … or clear");
  verb->add_option("link", arguments.link, "LINK, or LINK:SENDER for what that host sends")->required();
  verb->add_option("changes", arguments.changes, "KEY=VALUE …, or clear")->required();
  add_name(verb, arguments);
  verb->callback([&arguments] {
    arguments.status = lab::cli::impair(arguments.name, arguments.link, arguments.changes);
  });

  verb = app.add_subcommand("link", "Unplug a link, or plug it in again");
  verb->add_option("link", arguments.link, "The link")->required();
  verb->add_option("state", arguments.state, "up or down")->required()->check(CLI::IsMember({"up", "down"}));
  add_name(verb, arguments);
  verb->callback(
      [&arguments] { arguments.status = lab::cli::link(arguments.name, arguments.link, arguments.state); });

  verb = app.add_subcommand("capture", "Write what passes a link or a host to a pcapng file, keys included");
  verb->add_option("target", arguments.capture.target, "A link or a host")->required();
  verb->add_option("--output,-o", arguments.capture.file, "The file; -: standard output")->required();
  verb->add_option("--packets,-c", arguments.capture.packets, "End after so many packets")
      ->check(is_whole_number);
  verb->add_option("--seconds,-s", arguments.capture.seconds, "End after so many seconds")
      ->check(is_positive);
  add_name(verb, arguments);
  verb->callback([&arguments] {
    arguments.capture.name = arguments.name;
    arguments.status = lab::cli::capture(arguments.capture);
  });
}

void add_machine_verbs(CLI::App& app, Arguments& arguments) {
  CLI::App* verb = app.add_subcommand("events", "What happened in a lab");
  verb->add_flag("--follow,-f", arguments.follow, "And what happens next");
  add_name(verb, arguments);
  verb->callback([&arguments] { arguments.status = lab::cli::events(arguments.name, arguments.follow); });

  app.add_subcommand("doctor", "What this kernel and user can do, and what to do where something is missing")
      ->callback([&arguments] { arguments.status = lab::cli::doctor(); });

  app.add_subcommand("cleanup", "Remove whatever crashed labs left")->callback([&arguments] {
    arguments.status = lab::cli::cleanup();
  });

  verb = app.add_subcommand("vm", "Another kernel: one with netem and WireGuard");
  verb->require_subcommand(1);
  verb = verb->add_subcommand("run", "Run a command under it, on this machine's files, as root there");
  verb->add_option("--machine", arguments.vm.machine, "uml (User-Mode Linux) or qemu")
      ->capture_default_str()
      ->check(CLI::IsMember({"uml", "qemu"}));
  verb->add_option("--memory,-m", arguments.vm.memory, "Of the machine: 512M, 2G")
      ->capture_default_str()
      ->check(is_size);
  verb->add_option("--timeout,-t", arguments.vm.limit_seconds, "Seconds; then exit status 124")
      ->capture_default_str();
  verb->add_option("--writable,-w", arguments.vm.writable,
                   "A directory it may write to, besides the current one")
      ->allow_extra_args(false);
  verb->add_option("command", arguments.vm.command, "After --: the program and its arguments")->required();
  verb->callback([&arguments] { arguments.status = lab::cli::vm_run(arguments.vm); });
}

void add_topology_verbs(CLI::App& app, Arguments& arguments) {
  CLI::App* verb = app.add_subcommand("check", "Explain every error of a topology");
  verb->add_option("topology", arguments.topology, "A file, or a topology that ships")->required();
  verb->add_option("--set", arguments.up.settings, "KEY=VALUE: a parameter of the topology")
      ->allow_extra_args(false);
  verb->callback(
      [&arguments] { arguments.status = lab::cli::check(arguments.topology, arguments.up.settings); });

  verb = app.add_subcommand("graph", "Draw a topology as SVG");
  verb->add_option("topology", arguments.topology, "A file, or a topology that ships")->required();
  verb->add_option("--output,-o", arguments.file, "The file; else standard output");
  verb->add_option("--set", arguments.up.settings, "KEY=VALUE: a parameter of the topology")
      ->allow_extra_args(false);
  verb->callback([&arguments] {
    arguments.status = lab::cli::graph(arguments.topology, arguments.up.settings, arguments.file);
  });
}

void add_bench_verb(CLI::App& app, Arguments& arguments) {
  lab::cli::BenchArguments& bench = arguments.bench;
  CLI::App* verb = app.add_subcommand("bench", "Measure VPNs side by side on one link, in one run");
  verb->add_option(
      "--candidates", bench.options.candidates,
      "Some of plain,plaintext,vpn,vpn-aes,wireguard-go,openvpn,fastd,fastd-null,kernel; else all");
  CLI::Option* const measures = verb->add_option("--measures", bench.options.measures,
                                                 "Some of ping,tcp1,tcp4,udp64,udp1372; else all");
  verb->add_option("--rounds", bench.options.rounds, "Each measures every candidate once")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  verb->add_option("--seconds", bench.options.seconds, "Of every measured TCP window")
      ->check(CLI::Range(0.1, 600.0))
      ->capture_default_str();
  verb->add_flag("--quick", bench.options.quick, "One round, short trials: about a minute");
  verb->add_option("--impair", bench.options.weather,
                   "The link's weather: \"delay=10ms loss=0.1%\"; else a bare veth pair");
  verb->add_option("--engine", bench.options.engine, "Of the link: wire, netem or veth")
      ->check(CLI::IsMember({"wire", "netem", "veth"}));
  verb->add_option("--seed", bench.options.seed, "Of the weather")->check(is_whole_number);
  verb->add_option("--curve", bench.curve,
                   "peers, active or size: how our tunnel's throughput changes with it")
      ->excludes(measures);  // it has its own
  verb->add_option("--json", bench.json_file, "Write all figures to this file");
  verb->add_option("--svg", bench.svg_file, "Draw a chart into this file");
  verb->callback([&arguments] { arguments.status = lab::cli::bench(arguments.bench); });
}

// One line about a command line that is none: what is wrong, and whose --help says how it is right.
std::string complaint(const CLI::App& app, const CLI::Error& error, const std::vector<std::string>& given) {
  std::string what = error.what();
  std::string call = "lab";
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    call += " " + at->get_name();
  }
  if (call == "lab" && !given.empty()) what = "there is no verb '" + given.front() + "'";
  return "lab: " + what + "; remedy: see '" + call + " --help'\n";
}

int run(int argc, char** argv) {
  CLI::App app("Networks of hosts, links and weather on this machine, for programs to be tried in.", "lab");
  app.require_subcommand(1);
  app.set_version_flag("--version", "lab " + std::string(vpn::version()), "Show the version and end");
  app.failure_message(
      [given = std::vector<std::string>(argv + std::min(argc, 1), argv + argc)](
          const CLI::App* at, const CLI::Error& error) { return complaint(*at, error, given); });
  Arguments arguments;
  add_life_verbs(app, arguments);
  add_host_verbs(app, arguments);
  add_link_verbs(app, arguments);
  add_machine_verbs(app, arguments);
  add_topology_verbs(app, arguments);
  add_bench_verb(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  return arguments.status;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (...) {  // what is foreseen is a Result; what is left is memory
    std::fputs("lab: out of memory; remedy: end other programs\n", stderr);
    return 1;
  }
}
