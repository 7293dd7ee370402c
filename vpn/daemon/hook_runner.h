// HookRunner: runs the commands that a configuration names around bringing its interface up and down.
//
// They run in a process of their own, forked before the daemon gives its privileges away, so that the daemon
// can be confined and the commands still do what only root may. That process runs nothing but the commands it
// was made with.
#pragma once

#include <sys/types.h>

#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/config.h"
#include "vpn/io/unique_fd.h"

namespace vpn::daemon {

enum class HookPhase : uint8_t { kPreUp, kPostUp, kPreDown, kPostDown };

class HookRunner {
 public:
  // To be made before there are threads, and before the TUN device: the other process must not hold it open.
  // Makes no process where there are no commands.
  HookRunner(const config::Hooks& hooks, std::string interface);
  ~HookRunner();  // the other process ends
  HookRunner(const HookRunner&) = delete;
  HookRunner& operator=(const HookRunner&) = delete;

  // Runs each command of the phase with bash, as wg-quick does, `%i` replaced by the interface's name, and
  // waits for each. The first that fails is the error, and the rest are not run.
  [[nodiscard]] Result<bool, Error> run(HookPhase phase);
  // The same without waiting: once fd() is readable finish() says how it went. False: there is nothing to
  // run.
  [[nodiscard]] bool begin(HookPhase phase);
  [[nodiscard]] int fd() const noexcept { return channel_.get(); }
  [[nodiscard]] Result<bool, Error> finish(HookPhase phase);
  // The commands still to come are run without the terminal that the daemon was started from.
  void let_go_of_terminal() noexcept;

 private:
  config::Hooks hooks_;
  std::string interface_;
  io::UniqueFd channel_;
  pid_t process_ = -1;
};

}  // namespace vpn::daemon
