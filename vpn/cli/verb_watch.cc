// vpn watch: a live view of running interfaces: peers, rates, handshakes, drops.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <optional>
#include <ostream>

#include "vpn/cli/control_client.h"
#include "vpn/cli/live_terminal.h"
#include "vpn/cli/verbs.h"
#include "vpn/cli/watch_frame.h"
#include "vpn/io/system.h"

namespace vpn::cli {
namespace {

constexpr size_t kWidthOfFiles = 200;  // where no terminal sets a limit

struct WatchOptions {
  std::string interface;
  std::string socket_folder = ControlClient::default_folder();
  double interval_seconds = 1;
  bool once = false;
};

WatchSample take_sample(const ControlClient& client, const std::string& interface) {
  WatchSample sample;
  const bool one = !interface.empty();
  for (const std::string& name : one ? std::vector<std::string>{interface} : client.interfaces()) {
    auto report = client.get(name);
    if (report) {
      sample.reports.emplace_back(name, std::move(*report));
    } else if (one || client.has_daemon(name)) {  // else it ended between our two questions
      sample.failures.push_back(std::move(report.error()));
    }
  }
  const Now now = io::read_clock();
  sample.taken = now.monotonic;
  sample.unix_seconds = now.wall.seconds;
  return sample;
}

int print_once(const ControlClient& client, const WatchOptions& options, Io& io) {
  const WatchSample sample = take_sample(client, options.interface);
  for (const Error& failure : sample.failures) report_error(failure, io);
  if (!sample.failures.empty()) return kFailure;
  io.out << watch_frame(nullptr, sample, {kWidthOfFiles, 0, false});
  return kFine;
}

int watch_live(const ControlClient& client, const WatchOptions& options, int out_fd) {
  const std::chrono::milliseconds interval(static_cast<int64_t>(options.interval_seconds * 1000));
  const LiveTerminal terminal(STDIN_FILENO, out_fd);
  std::optional<WatchSample> before, now;
  auto event = LiveTerminal::Event::kTimeout;
  while (event != LiveTerminal::Event::kQuit) {
    if (event == LiveTerminal::Event::kTimeout) {
      before = std::move(now);
      now = take_sample(client, options.interface);
    }
    const LiveTerminal::Size size = terminal.size();
    if (!terminal.draw(watch_frame(before ? &*before : nullptr, *now, {size.width, size.height, true})))
      break;
    event = terminal.wait(interval);
  }
  return kFine;
}

int run_watch(const WatchOptions& options, Io& io) {
  const ControlClient client(options.socket_folder);
  const bool live = !options.once && io.out_fd >= 0 && isatty(io.out_fd) == 1;
  return live ? watch_live(client, options, io.out_fd) : print_once(client, options, io);
}

}  // namespace

void add_watch_verb(CLI::App& app, Action& chosen) {
  CLI::App* verb = app.add_subcommand("watch", "Watch running interfaces: peers, rates, handshakes, drops");
  const auto options = std::make_shared<WatchOptions>();
  verb->add_option("INTERFACE", options->interface, "The interface to watch; all when left out")
      ->type_name("");
  verb->add_option("--interval", options->interval_seconds, "Seconds between two looks, 0.1 to 3600")
      ->type_name("SECONDS")
      ->check(CLI::Validator(CLI::Range(0.1, 3600.0)).description(""))
      ->capture_default_str();
  verb->add_flag("--once", options->once, "Print one picture and end, as it does where no terminal is");
  verb->add_option("--socket-dir", options->socket_folder, "Where the control sockets lie")
      ->type_name("DIR")
      ->capture_default_str();
  verb->footer("Leave it with q or Ctrl-C.\nExample: vpn watch wg0");
  verb->callback([options, &chosen] { chosen = [options](Io& io) { return run_watch(*options, io); }; });
}

}  // namespace vpn::cli
