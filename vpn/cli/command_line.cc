#include "vpn/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ostream>

#include "vpn/base/version.h"
#include "vpn/crypto/initialize.h"

namespace vpn::cli {
namespace {

int report_usage(const CLI::App& app, const CLI::ParseError& error, Io& io) {
  std::string command = app.get_name();
  for (const CLI::App* verb : app.get_subcommands()) command += " " + verb->get_name();
  std::string problem = error.what();
  std::replace(problem.begin(), problem.end(), '\n', ' ');
  io.err << command << ": " << problem << "; remedy: see '" << command << " --help'\n";
  return kUsage;
}

}  // namespace

int report_error(const Error& error, Io& io) {
  io.err << "vpn: " << error.to_string() << "\n";
  return kFailure;
}

std::unique_ptr<CLI::App> make_app(Action& chosen) {
  auto app =
      std::make_unique<CLI::App>("A WireGuard-compatible VPN: tunnels, their keys and their state.", "vpn");
  app->require_subcommand(1);
  app->set_help_flag("-h,--help", "Show this help and end");
  app->set_version_flag("--version", "vpn " + std::string(version()), "Show the version and end");
  app->get_formatter()->column_width(34);
  add_daemon_verbs(*app, chosen);
  add_show_verb(*app, chosen);
  add_watch_verb(*app, chosen);
  add_invite_verb(*app, chosen);
  add_cleanup_verb(*app, chosen);
  add_genkey_verb(*app, chosen);
  add_pubkey_verb(*app, chosen);
  add_genpsk_verb(*app, chosen);
  add_check_verb(*app, chosen);
  add_bench_verb(*app, chosen);
  add_completions_verb(*app, chosen);
  return app;
}

int run_command_line(std::vector<std::string> arguments, Io& io) {
  crypto::initialize();
  Action chosen;
  const std::unique_ptr<CLI::App> app = make_app(chosen);
  int exit_code = kFine;
  try {
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
    app->parse(std::move(arguments));
    exit_code = chosen(io);
  } catch (const CLI::CallForHelp&) {
    const auto verbs = app->get_subcommands();
    io.out << (verbs.empty() ? app->help() : verbs.front()->help(app->get_name()));
  } catch (const CLI::CallForVersion& call) {
    io.out << call.what() << "\n";
  } catch (const CLI::ParseError& error) {
    return report_usage(*app, error, io);
  }
  io.out.flush();
  if (!io.out) {
    io.err << "vpn: standard output cannot be written; remedy: check where it goes\n";
    return kFailure;
  }
  return exit_code;
}

int run_stand_in(const std::vector<std::string>& arguments, Io& io) {
  crypto::initialize();
  if (arguments.size() == 1 && !arguments.front().starts_with('-')) {
    return run_as_userspace_implementation(arguments.front(), io);
  }
  io.err << "usage: vpn-wireguard INTERFACE\n";
  return kUsage;
}

}  // namespace vpn::cli
