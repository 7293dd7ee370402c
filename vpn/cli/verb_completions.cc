// vpn completions: what a shell needs to complete this command line.
#include <CLI/CLI.hpp>
#include <ostream>

#include "vpn/cli/completions.h"
#include "vpn/cli/verbs.h"

namespace vpn::cli {

void add_completions_verb(CLI::App& app, Action& chosen) {
  CLI::App* verb = app.add_subcommand("completions", "Print the completions for a shell");
  const auto shell = std::make_shared<std::string>();
  verb->add_option("SHELL", *shell, "The shell")
      ->required()
      ->type_name("bash|zsh|fish")
      ->check(CLI::Validator(CLI::IsMember({"bash", "zsh", "fish"})).description(""));
  verb->footer("Example: source <(vpn completions bash)");
  verb->callback([shell, &chosen] {
    chosen = [shell](Io& io) {
      const ProgramModel program = command_model();
      io.out << (*shell == "bash"  ? bash_completions(program)
                 : *shell == "zsh" ? zsh_completions(program)
                                   : fish_completions(program));
      return kFine;
    };
  });
}

}  // namespace vpn::cli
