// The verbs of `vpn`: one file each, verb_NAME.cc, which declares its options and does its work.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>

#include "vpn/base/error.h"

namespace CLI {
class App;
}

namespace vpn::cli {

// What a verb returns, and the process after it.
enum ExitCode : int {
  kFine = 0,
  kFailure = 1,  // it could not be done, or the input is wrong
  kUsage = 2,    // the command line itself is wrong
};

// Where a verb reads and writes. Errors and warnings go to `err`, one line each.
struct Io {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  int out_fd = -1;  // the descriptor behind `out`; -1: none, then nothing is a terminal
};

using Action = std::function<int(Io&)>;

// Prints "vpn: …" on `err`; returns kFailure.
int report_error(const Error& error, Io& io);

// Each declares its verb in `app`. When that verb is parsed, `chosen` becomes what to run; it must outlive
// the parsing.
void add_genkey_verb(CLI::App& app, Action& chosen);
void add_pubkey_verb(CLI::App& app, Action& chosen);
void add_genpsk_verb(CLI::App& app, Action& chosen);
void add_check_verb(CLI::App& app, Action& chosen);
void add_show_verb(CLI::App& app, Action& chosen);
void add_watch_verb(CLI::App& app, Action& chosen);
void add_invite_verb(CLI::App& app, Action& chosen);
void add_completions_verb(CLI::App& app, Action& chosen);
void add_cleanup_verb(CLI::App& app, Action& chosen);
void add_bench_verb(CLI::App& app, Action& chosen);
// daemon, up, down, reload.
void add_daemon_verbs(CLI::App& app, Action& chosen);

// `vpn-wireguard INTERFACE`, as wg-quick calls a userspace implementation.
[[nodiscard]] int run_as_userspace_implementation(const std::string& interface, Io& io);

}  // namespace vpn::cli
