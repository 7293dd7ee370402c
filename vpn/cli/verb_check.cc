// vpn check: everything that is wrong with a configuration file, and what is likely to be.
#include <CLI/CLI.hpp>
#include <ostream>

#include "vpn/cli/config_review.h"
#include "vpn/cli/verbs.h"
#include "vpn/config/ini.h"
#include "vpn/daemon/config_file.h"
#include "vpn/daemon/text_file.h"

namespace vpn::cli {
namespace {

void warn(const std::vector<Error>& warnings, Io& io) {
  for (const Error& warning : warnings) io.err << "warning: " << warning.to_string() << "\n";
}

int run_check(const std::string& argument, Io& io) {
  const std::string path = daemon::config_path(argument);
  const auto file = daemon::read_text_file(path);
  if (!file) return report_error(file.error(), io);
  warn(review_mode(file->status.st_mode, path), io);
  const std::vector<Error> errors = config::find_ini_errors(file->text.view(), path);
  for (const Error& error : errors) io.err << error.to_string() << "\n";
  if (!errors.empty()) return kFailure;
  const auto config = config::parse_ini(file->text.view(), path);
  warn(review_config(*config, path), io);
  const size_t peers = config->peers.size();
  io.out << path << ": fine, " << peers << (peers == 1 ? " peer\n" : " peers\n");
  return kFine;
}

}  // namespace

void add_check_verb(CLI::App& app, Action& chosen) {
  CLI::App* verb = app.add_subcommand("check", "Say everything that is wrong with a configuration file");
  const auto file = std::make_shared<std::string>();
  verb->add_option("FILE", *file, "The file, or the name of an interface for /etc/wireguard/NAME.conf")
      ->required()
      ->type_name("");
  verb->footer(
      "Every error is one line, FILE:LINE: KEY: what is wrong; remedy: what to do. Warnings leave the exit "
      "code 0.\n"
      "Example: vpn check /etc/wireguard/wg0.conf");
  verb->callback([file, &chosen] { chosen = [file](Io& io) { return run_check(*file, io); }; });
}

}  // namespace vpn::cli
