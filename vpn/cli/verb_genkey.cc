// vpn genkey: a new private key, in base64, as 'wg genkey' prints it.
#include <CLI/CLI.hpp>
#include <ostream>

#include "vpn/cli/keys.h"
#include "vpn/cli/verbs.h"

namespace vpn::cli {

void add_genkey_verb(CLI::App& app, Action& chosen) {
  CLI::App* verb = app.add_subcommand("genkey", "Make a private key and print it in base64");
  verb->footer("Example: umask 077; vpn genkey > private.key");
  verb->callback([&chosen] {
    chosen = [](Io& io) {
      if (is_world_readable_file(io.out_fd)) {
        io.err << "vpn: warning: the key goes to a file that everyone may read; remedy: umask 077\n";
      }
      io.out << to_secret_base64(make_private_key()).view() << "\n";
      return kFine;
    };
  });
}

}  // namespace vpn::cli
