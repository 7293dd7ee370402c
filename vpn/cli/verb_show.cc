// vpn show: the state of running interfaces, asked of their daemons.
#include <CLI/CLI.hpp>
#include <ostream>

#include "vpn/cli/control_client.h"
#include "vpn/cli/show_text.h"
#include "vpn/cli/verbs.h"
#include "vpn/io/system.h"

namespace vpn::cli {
namespace {

struct ShowOptions {
  std::string interface;
  std::string socket_folder = ControlClient::default_folder();
  bool json = false;
  bool metrics = false;
};

int run_show(const ShowOptions& options, Io& io) {
  const ControlClient client(options.socket_folder);
  const bool one = !options.interface.empty();
  InterfaceReports reports;
  int exit_code = kFine;
  for (const std::string& name : one ? std::vector<std::string>{options.interface} : client.interfaces()) {
    auto report = client.get(name);
    if (report) {
      reports.emplace_back(name, std::move(*report));
    } else if (one || client.has_daemon(name)) {  // else it ended between our two questions
      exit_code = report_error(report.error(), io);
    }
  }
  if (one && reports.empty()) return exit_code;
  if (options.json) {
    io.out << show_json(reports);
  } else if (options.metrics) {
    io.out << show_metrics(reports);
  } else {
    const int64_t now = io::read_clock().wall.seconds;
    for (size_t i = 0; i < reports.size(); ++i) {
      io.out << (i > 0 ? "\n" : "") << show_text(reports[i].first, reports[i].second, now);
    }
  }
  return exit_code;
}

}  // namespace

void add_show_verb(CLI::App& app, Action& chosen) {
  CLI::App* verb = app.add_subcommand("show", "Show the state of running interfaces");
  const auto options = std::make_shared<ShowOptions>();
  verb->add_option("INTERFACE", options->interface, "The interface to show; all when left out")
      ->type_name("");
  CLI::Option* json = verb->add_flag("--json", options->json,
                                     "Print JSON, as its schema says: show.schema.json in the documentation");
  verb->add_flag("--metrics", options->metrics,
                 "Print what Prometheus reads: for the textfile collector of its node exporter, say")
      ->excludes(json);
  verb->add_option("--socket-dir", options->socket_folder, "Where the control sockets lie")
      ->type_name("DIR")
      ->capture_default_str();
  verb->footer("Example: vpn show wg0");
  verb->callback([options, &chosen] { chosen = [options](Io& io) { return run_show(*options, io); }; });
}

}  // namespace vpn::cli
