#include "vpn/daemon/hook_runner.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "vpn/io/system.h"

namespace vpn::daemon {
namespace {

// What the other process is asked.
struct Question {
  HookPhase phase{};
  bool only_let_go = false;  // of the terminal; there is no answer to this
};
// What it answers: which command failed (-1: none did), and how.
struct Answer {
  int failed_index = -1;
  int status = 0;  // exit status, 128 + signal, or a negative errno
};

const std::vector<std::string>& commands_of(const config::Hooks& hooks, HookPhase phase) {
  switch (phase) {
    case HookPhase::kPreUp:
      return hooks.pre_up;
    case HookPhase::kPostUp:
      return hooks.post_up;
    case HookPhase::kPreDown:
      return hooks.pre_down;
    case HookPhase::kPostDown:
      break;
  }
  return hooks.post_down;
}

std::string with_interface(std::string command, const std::string& interface) {
  for (size_t at = command.find("%i"); at != std::string::npos;
       at = command.find("%i", at + interface.size())) {
    command.replace(at, 2, interface);
  }
  return command;
}

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

// The other process: until the daemon is gone.
[[noreturn]] void serve(const io::UniqueFd& channel, const config::Hooks& hooks,
                        const std::string& interface) {
  // Ctrl-C in a terminal reaches the whole group; the commands of going down are still to be run then.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_IGN);
  // wg-quick's own variable, which its commands see. The runner is a process of one thread.
  setenv("INTERFACE", interface.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  Question question;
  while (recv(channel.get(), &question, sizeof question, 0) == sizeof question) {
    if (question.only_let_go) {
      const io::UniqueFd nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
      for (const int standard : {0, 1, 2}) dup2(nothing.get(), standard);
      continue;
    }
    Answer answer;
    const std::vector<std::string>& commands = commands_of(hooks, question.phase);
    for (size_t index = 0; index < commands.size() && answer.failed_index < 0; ++index) {
      answer.status = run_shell(with_interface(commands[index], interface));
      if (answer.status != 0) answer.failed_index = static_cast<int>(index);
    }
    if (send(channel.get(), &answer, sizeof answer, MSG_NOSIGNAL) < 0) break;
  }
  _exit(0);
}

}  // namespace

HookRunner::HookRunner(const config::Hooks& hooks, std::string interface)
    : hooks_(hooks), interface_(std::move(interface)) {
  int ends[2];
  if (hooks == config::Hooks{} || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
  channel_ = io::UniqueFd(ends[0]);
  io::UniqueFd other(ends[1]);
  process_ = fork();
  if (process_ != 0) return;
  channel_.reset();
  serve(other, hooks_, interface_);
}

HookRunner::~HookRunner() {
  channel_.reset();
  if (process_ > 0) waitpid(process_, nullptr, 0);
}

Result<bool, Error> HookRunner::run(HookPhase phase) {
  if (!begin(phase)) return true;
  return finish(phase);
}

bool HookRunner::begin(HookPhase phase) {
  if (commands_of(hooks_, phase).empty()) return false;
  const Question question{phase, false};
  // Where the other process is gone the answer says so.
  [[maybe_unused]] const ssize_t put = send(channel_.get(), &question, sizeof question, MSG_NOSIGNAL);
  return true;
}

Result<bool, Error> HookRunner::finish(HookPhase phase) {
  const std::vector<std::string>& commands = commands_of(hooks_, phase);
  Answer answer;
  const bool answered = process_ > 0 && recv(channel_.get(), &answer, sizeof answer, 0) == sizeof answer;
  if (!answered)
    return fail(Error{interface_, 0, "", "the process that runs its commands is gone", "start it again"});
  if (answer.failed_index < 0) return true;
  const std::string command = with_interface(commands[static_cast<size_t>(answer.failed_index)], interface_);
  const std::string how =
      answer.status < 0 ? io::error_text(-answer.status) : "exit status " + std::to_string(answer.status);
  return fail(Error{interface_, 0, "", "the command '" + command + "' failed: " + how,
                    "mend the command, or take it out"});
}

void HookRunner::let_go_of_terminal() noexcept {
  const Question question{HookPhase{}, true};
  if (process_ > 0) send(channel_.get(), &question, sizeof question, MSG_NOSIGNAL);
}

}  // namespace vpn::daemon
