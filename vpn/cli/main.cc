// The program `vpn`, and `vpn-wireguard INTERFACE`, the same under the name that wg-quick calls.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>

#include "vpn/config/text.h"
#include "vpn/daemon/config_file.h"
#include "vpn/daemon/daemon.h"

namespace {

using vpn::Error;
using vpn::daemon::DaemonOptions;

int print_error(const Error& error) {
  std::fprintf(stderr, "vpn: %s\n", error.to_string().c_str());
  return 1;
}

struct DaemonArguments {
  std::string file;
  std::string interface;
  bool background = false;
  std::string log_level = "info";
  std::string log_format = "text";
};

int run_daemon_verb(const DaemonArguments& arguments) {
  DaemonOptions options;
  options.background = arguments.background;
  if (!arguments.file.empty()) {
    options.config_path = vpn::daemon::config_path(arguments.file);
    auto interface = vpn::daemon::interface_of(*options.config_path);
    if (!interface) return print_error(interface.error());
    options.interface = *interface;
  } else if (vpn::config::is_interface_name(arguments.interface)) {
    options.interface = arguments.interface;
  } else {
    return print_error(
        {arguments.interface, 0, "", "not an interface name", "give 1 to 15 letters, digits or _=+.-"});
  }
  const auto level = vpn::daemon::parse_log_level(arguments.log_level);
  if (!level) return print_error(level.error());
  const auto format = vpn::daemon::parse_log_format(arguments.log_format);
  if (!format) return print_error(format.error());
  options.log = {*level, *format,
                 arguments.background ? vpn::daemon::LogTarget::kJournal : vpn::daemon::LogTarget::kStderr};
  return vpn::daemon::run_daemon(options);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("A VPN that speaks WireGuard", "vpn");
  app.require_subcommand(1);
  DaemonArguments arguments;
  CLI::App* const daemon = app.add_subcommand("daemon", "Serve one tunnel interface");
  auto* const file =
      daemon->add_option("FILE", arguments.file, "A wg-quick file, or the name of one in /etc/wireguard");
  auto* const interface = daemon->add_option("--interface,-i", arguments.interface,
                                             "Start bare, to be configured over the control socket");
  file->excludes(interface);
  daemon->add_flag("--background,-b", arguments.background, "Return once the control socket answers");
  daemon->add_option("--log-level", arguments.log_level, "debug, info, warning, error or off")
      ->envname("VPN_LOG_LEVEL");
  daemon->add_option("--log-format", arguments.log_format, "text or json")->envname("VPN_LOG_FORMAT");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return run_daemon_verb(arguments);
}
