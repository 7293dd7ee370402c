// vpn cleanup: undoes what daemons that have crashed have left on this host.
#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>
#include <string>

#include "vpn/cli/verbs.h"
#include "vpn/host/host_state.h"

namespace vpn::cli {
namespace {

int clean_one(const std::string& interface, Io& io) {
  const auto report = host::clean_up(interface);
  if (!report) return report_error(report.error(), io);
  for (const std::string& note : report->notes) io.err << "vpn: " << interface << ": " << note << "\n";
  for (const Error& failure : report->failures) report_error(failure, io);
  io.out << interface << ": " << report->undone_count << " changes undone\n";
  return report->failures.empty() ? kFine : kFailure;
}

int clean_all(Io& io) {
  int worst = kFine;
  for (const std::string& interface : host::interfaces_with_leftovers()) {
    if (host::is_served(interface)) continue;
    worst = std::max(worst, clean_one(interface, io));
  }
  for (const std::string& file : host::leftovers_elsewhere()) {
    io.err << "vpn: " << file << ": tells of another network namespace; remedy: run this in that namespace, "
           << "or remove the file if that is gone\n";
  }
  return worst;
}

}  // namespace

void add_cleanup_verb(CLI::App& app, Action& chosen) {
  const auto interface = std::make_shared<std::string>();
  CLI::App* const verb =
      app.add_subcommand("cleanup", "Undo what daemons that have crashed have left on this host");
  verb->add_option("INTERFACE", *interface, "Only this interface's; else those of all that nothing serves");
  verb->callback([interface, &chosen] {
    chosen = [interface](Io& io) { return interface->empty() ? clean_all(io) : clean_one(*interface, io); };
  });
}

}  // namespace vpn::cli
