// vpn genpsk: a new preshared key, in base64, as 'wg genpsk' prints it.
#include <CLI/CLI.hpp>
#include <ostream>

#include "vpn/cli/keys.h"
#include "vpn/cli/verbs.h"

namespace vpn::cli {

void add_genpsk_verb(CLI::App& app, Action& chosen) {
  CLI::App* verb = app.add_subcommand("genpsk", "Make a preshared key and print it in base64");
  verb->footer("Example: umask 077; vpn genpsk > preshared.key");
  verb->callback([&chosen] {
    chosen = [](Io& io) {
      if (is_world_readable_file(io.out_fd)) {
        io.err << "vpn: warning: the key goes to a file that everyone may read; remedy: umask 077\n";
      }
      io.out << to_secret_base64(make_preshared_key()).view() << "\n";
      return kFine;
    };
  });
}

}  // namespace vpn::cli
