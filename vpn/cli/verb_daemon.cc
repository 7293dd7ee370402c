// vpn daemon, up, down, reload: the life of a tunnel interface.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>

#include "vpn/cli/control_client.h"
#include "vpn/cli/verbs.h"
#include "vpn/config/text.h"
#include "vpn/daemon/config_file.h"
#include "vpn/daemon/daemon.h"
#include "vpn/host/host_state.h"

namespace vpn::cli {
namespace {

using daemon::DaemonOptions;

struct Arguments {
  std::string file;
  std::string interface;
  bool background = false;
  std::string key_log;
  std::string log_level = "info";
  std::string log_format = "text";
};

Result<DaemonOptions, Error> to_options(const Arguments& arguments) {
  DaemonOptions options;
  options.background = arguments.background;
  options.interface = arguments.interface;
  if (!arguments.file.empty()) {
    // One in the background leaves the folder that it was started in.
    options.config_path = std::filesystem::absolute(daemon::config_path(arguments.file));
    auto interface = daemon::interface_of(*options.config_path);
    if (!interface) return fail(std::move(interface.error()));
    options.interface = *interface;
  }
  if (!config::is_interface_name(options.interface)) {
    return fail(
        Error{options.interface, 0, "", "not an interface name", "give 1 to 15 letters, digits or _=+.-"});
  }
  if (!arguments.key_log.empty()) options.key_log = std::filesystem::absolute(arguments.key_log);
  const auto level = daemon::parse_log_level(arguments.log_level);
  if (!level) return fail(level.error());
  const auto format = daemon::parse_log_format(arguments.log_format);
  if (!format) return fail(format.error());
  options.log = {*level, *format,
                 arguments.background ? daemon::LogTarget::kBackground : daemon::LogTarget::kStderr};
  return options;
}

int run(const Arguments& arguments, Io& io) {
  const auto options = to_options(arguments);
  return options ? daemon::run_daemon(*options) : report_error(options.error(), io);
}

// "wg0", "wg0.conf" or a path: the interface that a running daemon is asked for.
Result<std::string, Error> to_interface(const std::string& argument) {
  if (config::is_interface_name(argument) && !argument.ends_with(".conf")) return argument;
  return daemon::interface_of(daemon::config_path(argument));
}

template <typename Request>
int on_interface(const std::string& argument, Io& io, Request request) {
  const auto interface = to_interface(argument);
  if (!interface) return report_error(interface.error(), io);
  const auto done = request(*interface);
  return done ? kFine : report_error(done.error(), io);
}

bool has_leftovers(const std::string& interface) {
  const std::vector<std::string> all = host::interfaces_with_leftovers();
  return std::find(all.begin(), all.end(), interface) != all.end();
}

// Stops the daemon, if there is one; and undoes what a daemon that is gone, or that had given its rights
// away, has left.
Result<void, Error> take_down(const std::string& interface) {
  auto stopped = ControlClient().stop(interface);
  if (!has_leftovers(interface) || (!stopped && ControlClient().has_daemon(interface))) return stopped;
  // A daemon that was killed while it stopped may still be on its way out.
  const auto report = host::clean_up(interface, std::chrono::seconds(5));
  if (!report) return fail(report.error());
  if (!report->failures.empty()) return fail(report->failures.front());
  return {};
}

void add_log_options(CLI::App& verb, Arguments& arguments) {
  verb.add_option("--log-level", arguments.log_level, "What to log: this and what is worse")
      ->type_name("debug|info|warning|error|off")
      ->envname("VPN_LOG_LEVEL")
      ->capture_default_str();
  verb.add_option("--log-format", arguments.log_format, "The form of the log's lines")
      ->type_name("text|json")
      ->envname("VPN_LOG_FORMAT")
      ->capture_default_str();
}

constexpr char kFileHelp[] = "A wg-quick file, or the name of one in /etc/wireguard";

}  // namespace

void add_daemon_verbs(CLI::App& app, Action& chosen) {
  const auto arguments = std::make_shared<Arguments>();

  CLI::App* const serve = app.add_subcommand("daemon", "Serve one tunnel interface");
  auto* const file = serve->add_option("FILE", arguments->file, kFileHelp)->type_name("");
  auto* const interface = serve
                              ->add_option("-i,--interface", arguments->interface,
                                           "Start bare, to be configured over the control socket")
                              ->type_name("INTERFACE");
  file->excludes(interface);
  serve->add_flag("-b,--background", arguments->background, "Return once the control socket answers");
  serve
      ->add_option("--key-log", arguments->key_log,
                   "DANGEROUS: append every session's keys, so that Wireshark can decrypt what it captured")
      ->type_name("FILE")
      ->envname("VPN_KEY_LOG");
  add_log_options(*serve, *arguments);
  serve->callback([arguments, &chosen] {
    if (arguments->file.empty() && arguments->interface.empty()) {
      throw CLI::RequiredError("FILE or --interface");
    }
    chosen = [arguments](Io& io) { return run(*arguments, io); };
  });

  CLI::App* const up = app.add_subcommand("up", "Bring a tunnel up, in the background");
  up->add_option("FILE", arguments->file, kFileHelp)->type_name("")->required();
  add_log_options(*up, *arguments);
  up->callback([arguments, &chosen] {
    arguments->background = true;
    chosen = [arguments](Io& io) { return run(*arguments, io); };
  });

  CLI::App* const down = app.add_subcommand("down", "Take a tunnel down, with all it changed on the host");
  down->add_option("INTERFACE", arguments->interface, "The interface, or its file")
      ->type_name("")
      ->required();
  down->callback([arguments, &chosen] {
    chosen = [arguments](Io& io) { return on_interface(arguments->interface, io, take_down); };
  });

  CLI::App* const reload = app.add_subcommand("reload", "Apply what changed in a running tunnel's file");
  reload->add_option("INTERFACE", arguments->interface, "The interface, or its file")
      ->type_name("")
      ->required();
  reload->callback([arguments, &chosen] {
    chosen = [arguments](Io& io) {
      return on_interface(arguments->interface, io, [&io](const std::string& name) {
        auto warning = ControlClient().reload(name);
        if (warning && !warning->empty()) io.err << "vpn: " << name << ": " << *warning << "\n";
        return warning;
      });
    };
  });
}

int run_as_userspace_implementation(const std::string& interface, Io& io) {
  Arguments arguments;
  arguments.interface = interface;
  arguments.background = true;
  return run(arguments, io);
}

}  // namespace vpn::cli
