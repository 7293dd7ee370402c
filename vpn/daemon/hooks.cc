#include "vpn/daemon/hooks.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <cerrno>

#include "vpn/io/system.h"

namespace vpn::daemon {
namespace {

std::string with_interface(std::string command, const std::string& interface) {
  for (size_t at = command.find("%i"); at != std::string::npos;
       at = command.find("%i", at + interface.size())) {
    command.replace(at, 2, interface);
  }
  return command;
}

// The exit status, 128 + signal, or a negative errno.
int run_shell(std::string command) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;  // the daemon blocks signals that the command may want
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::string shell = "bash";
  std::string option = "-c";
  char* const arguments[] = {shell.data(), option.data(), command.data(), nullptr};
  pid_t child = 0;
  const int spawned = posix_spawnp(&child, shell.c_str(), nullptr, &attributes, arguments, environ);
  posix_spawnattr_destroy(&attributes);
  if (spawned != 0) return -spawned;
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -errno;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Result<bool, Error> run_hooks(const std::vector<std::string>& commands, const std::string& interface) {
  for (const std::string& command : commands) {
    const std::string filled = with_interface(command, interface);
    const int status = run_shell(filled);
    if (status == 0) continue;
    const std::string how = status < 0 ? io::error_text(-status) : "exit status " + std::to_string(status);
    return fail(Error{interface, 0, "", "the command '" + filled + "' failed: " + how,
                      "mend the command, or take it out"});
  }
  return true;
}

}  // namespace vpn::daemon
