// HookRunner: runs the commands that a configuration names around bringing its interface up and down.
//
// They run in a process of their own, forked before the daemon gives its privileges away, so that the daemon
// can be confined and the commands still do what only root may. That process runs nothing but the commands it
// was made with.
#pragma once

#include <optional>
#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/config.h"
#include "vpn/io/process.h"

namespace vpn::daemon {

enum class HookPhase : uint8_t { kPreUp, kPostUp, kPreDown, kPostDown };

class HookRunner {
 public:
  // To be made before there are threads, and before the TUN device: the other process must not hold it open.
  // Makes no process where there are no commands.
  HookRunner(const config::Hooks& hooks, std::string interface);

  // Has each command of the phase run with bash, as wg-quick does, one after the other, `%i` replaced by the
  // interface's name. False: there is nothing to run. Else finish() says how it went, once fd() is readable;
  // sooner it waits.
  [[nodiscard]] bool begin(HookPhase phase);
  [[nodiscard]] int fd() const noexcept { return process_ ? process_->channel().get() : -1; }
  // The first command that fails is the error, and the rest are not run.
  [[nodiscard]] Result<bool, Error> finish(HookPhase phase);
  // Ends the command that runs, which is a failure of it, with all that it waits for.
  void end_command() noexcept;
  // The commands still to come are run without the terminal that the daemon was started from.
  void let_go_of_terminal() noexcept;

 private:
  config::Hooks hooks_;
  std::string interface_;
  std::optional<io::Companion> process_;
};

}  // namespace vpn::daemon
