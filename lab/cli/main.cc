// `lab`: hosts, links and weather on one machine, from one command.
#include <CLI/CLI.hpp>

#include "lab/cli/verbs.h"

int main(int argc, char** argv) {
  CLI::App app("Networks of hosts, links and weather on this machine, for programs to be tried in.", "lab");
  app.require_subcommand(1);
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return "lab: " + std::string(error.what()) + "; remedy: see 'lab --help'\n";
  });
  int status = 0;

  std::string name = "lab";
  const auto add_name = [&](CLI::App* verb) {
    verb->add_option("--name,-n", name, "Which lab, where there are several")->capture_default_str();
  };

  lab::cli::UpArguments up;
  CLI::App* verb = app.add_subcommand("up", "Bring a topology up");
  verb->add_option("topology", up.topology, "A topology that ships, or a file")->capture_default_str();
  verb->add_option("--seed", up.seed, "Of the weather: the same seed loses the same packets");
  verb->add_option("--set", up.settings, "KEY=VALUE: a parameter of the topology")->allow_extra_args(false);
  add_name(verb);
  verb->callback([&] {
    up.name = name;
    status = lab::cli::up(up);
  });

  verb = app.add_subcommand("down", "Take a lab down; nothing of it is left");
  add_name(verb);
  verb->callback([&] { status = lab::cli::down(name); });

  app.add_subcommand("list", "All labs that stand, or were left behind")->callback([&] {
    status = lab::cli::list();
  });

  bool json = false;
  verb = app.add_subcommand("status", "Hosts, links, weather, tunnels, counters");
  verb->add_flag("--json", json, "As JSON");
  bool watch = false;
  verb->add_flag("--watch,-w", watch, "Again every second, with rates");
  add_name(verb);
  verb->callback([&] { status = lab::cli::status(name, json, watch); });

  std::string host;
  std::vector<std::string> command;
  verb = app.add_subcommand("exec", "Run a program in a host");
  verb->add_option("host", host, "The host")->required();
  verb->add_option("command", command, "After --: the program and its arguments")->required();
  add_name(verb);
  verb->callback([&] {
    if (command.front() == "--") command.erase(command.begin());  // CLI11 keeps it behind a positional
    status = lab::cli::exec(name, host, command);
  });

  verb = app.add_subcommand("shell", "A shell in a host");
  verb->add_option("host", host, "The host")->required();
  add_name(verb);
  verb->callback([&] { status = lab::cli::shell(name, host); });

  std::string link;
  std::vector<std::string> changes;
  verb = app.add_subcommand("impair",
                            "Change the weather of a link: LINK[:SENDER] loss=5% delay=20ms±5ms … or clear");
  verb->add_option("link", link, "LINK, or LINK:SENDER for what that host sends")->required();
  verb->add_option("changes", changes, "KEY=VALUE …, or clear")->required();
  add_name(verb);
  verb->callback([&] { status = lab::cli::impair(name, link, changes); });

  std::string state;
  verb = app.add_subcommand("link", "Unplug a link, or plug it in again");
  verb->add_option("link", link, "The link")->required();
  verb->add_option("state", state, "up or down")->required()->check(CLI::IsMember({"up", "down"}));
  add_name(verb);
  verb->callback([&] { status = lab::cli::link(name, link, state); });

  lab::cli::CaptureArguments capture;
  verb = app.add_subcommand("capture", "Write what passes a link or a host to a pcapng file, keys included");
  verb->add_option("target", capture.target, "A link or a host")->required();
  verb->add_option("--output,-o", capture.file, "The file")->required();
  verb->add_option("--packets,-c", capture.packets, "End after so many packets");
  verb->add_option("--seconds,-s", capture.seconds, "End after so many seconds");
  add_name(verb);
  verb->callback([&] {
    capture.name = name;
    status = lab::cli::capture(capture);
  });

  bool follow = false;
  verb = app.add_subcommand("events", "What happened in a lab");
  verb->add_flag("--follow,-f", follow, "And what happens next");
  add_name(verb);
  verb->callback([&] { status = lab::cli::events(name, follow); });

  app.add_subcommand("doctor", "What this kernel and user can do, and what to do where something is missing")
      ->callback([&] { status = lab::cli::doctor(); });

  app.add_subcommand("cleanup", "Remove whatever crashed labs left")->callback([&] {
    status = lab::cli::cleanup();
  });

  lab::cli::VmArguments vm;
  verb = app.add_subcommand("vm", "Another kernel: one with netem and WireGuard");
  verb->require_subcommand(1);
  verb = verb->add_subcommand("run", "Run a command under it, on this machine's files, as root there");
  verb->add_option("--machine", vm.machine, "uml (User-Mode Linux) or qemu")
      ->capture_default_str()
      ->check(CLI::IsMember({"uml", "qemu"}));
  verb->add_option("--memory,-m", vm.memory, "Of the machine")->capture_default_str();
  verb->add_option("--timeout,-t", vm.limit_seconds, "Seconds; then exit status 124")->capture_default_str();
  verb->add_option("--writable,-w", vm.writable, "A directory it may write to, besides the current one")
      ->allow_extra_args(false);
  verb->add_option("command", vm.command, "After --: the program and its arguments")->required();
  verb->callback([&] { status = lab::cli::vm_run(vm); });

  std::string topology;
  verb = app.add_subcommand("check", "Explain every error of a topology");
  verb->add_option("topology", topology, "A file, or a topology that ships")->required();
  verb->add_option("--set", up.settings, "KEY=VALUE: a parameter of the topology")->allow_extra_args(false);
  verb->callback([&] { status = lab::cli::check(topology, up.settings); });

  std::string file;
  verb = app.add_subcommand("graph", "Draw a topology as SVG");
  verb->add_option("topology", topology, "A file, or a topology that ships")->required();
  verb->add_option("--output,-o", file, "The file; else standard output");
  verb->add_option("--set", up.settings, "KEY=VALUE: a parameter of the topology")->allow_extra_args(false);
  verb->callback([&] { status = lab::cli::graph(topology, up.settings, file); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  return status;
}
