#include "vpn/daemon/hook_runner.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "vpn/io/system.h"

namespace vpn::daemon {
namespace {

// What the other process is asked. Only what it is to run is answered.
struct Question {
  enum class Kind : uint8_t { kRun, kLetGoOfTerminal, kEndCommand } kind{};
  HookPhase phase{};
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

// The shell and all that it waits for. What a command has left in the background on purpose is nobody's child
// any more.
void signal_all(pid_t shell, int signal) {
  std::vector<pid_t> all{shell};
  for (size_t index = 0; index < all.size(); ++index) {
    std::error_code ignored;
    const auto tasks = "/proc/" + std::to_string(all[index]) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks, ignored)) {
      std::ifstream children(task.path() / "children");
      for (pid_t child = 0; children >> child;) all.push_back(child);
    }
  }
  for (const pid_t process : all) kill(process, signal);
}

// Returns when the shell has ended, by itself or because we are asked to end it: then with SIGTERM, and where
// that does not help with SIGKILL.
void wait_for(pid_t shell, const io::UniqueFd& channel) {
  constexpr int kPatienceMs = 2000;
  // Before Linux 5.3 there is none: a command takes as long as it takes.
  const io::UniqueFd ended(static_cast<int>(syscall(SYS_pidfd_open, shell, 0)));
  if (!ended.is_open()) return;
  std::array<pollfd, 2> both{pollfd{ended.get(), POLLIN, 0}, pollfd{channel.get(), POLLIN, 0}};
  int patience = -1;
  while (true) {
    const int ready = poll(both.data(), both.size(), patience);
    if (both[0].revents != 0) return;
    if (ready == 0) signal_all(shell, SIGKILL);
    if (ready <= 0 || both[1].revents == 0) continue;
    Question question;
    if (recv(channel.get(), &question, sizeof question, 0) != sizeof question) {
      both[1].fd = -1;  // the daemon is gone; what it began ends by itself
    } else if (question.kind == Question::Kind::kEndCommand) {
      signal_all(shell, SIGTERM);
      patience = kPatienceMs;
    }
  }
}

int run_shell(std::string command, const io::UniqueFd& channel) {
  const io::SpawnAttributes attributes;
  std::string shell = "bash";
  std::string option = "-c";
  char* const arguments[] = {shell.data(), option.data(), command.data(), nullptr};
  pid_t child = 0;
  const int spawned = posix_spawnp(&child, shell.c_str(), nullptr, attributes.get(), arguments, environ);
  if (spawned != 0) return -spawned;
  wait_for(child, channel);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -errno;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The other process: until the daemon is gone.
void serve(const io::UniqueFd& channel, const config::Hooks& hooks, const std::string& interface) {
  // wg-quick's own variable, which its commands see. The runner is a process of one thread.
  setenv("INTERFACE", interface.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  Question question;
  while (recv(channel.get(), &question, sizeof question, 0) == sizeof question) {
    if (question.kind == Question::Kind::kLetGoOfTerminal) io::close_standard_files();
    if (question.kind != Question::Kind::kRun) continue;  // a command that is to end has ended by itself
    Answer answer;
    const std::vector<std::string>& commands = commands_of(hooks, question.phase);
    for (size_t index = 0; index < commands.size() && answer.failed_index < 0; ++index) {
      answer.status = run_shell(with_interface(commands[index], interface), channel);
      if (answer.status != 0) answer.failed_index = static_cast<int>(index);
    }
    if (send(channel.get(), &answer, sizeof answer, MSG_NOSIGNAL) < 0) break;
  }
}

}  // namespace

HookRunner::HookRunner(const config::Hooks& hooks, std::string interface)
    : hooks_(hooks), interface_(std::move(interface)) {
  if (hooks != config::Hooks{})
    process_.emplace("vpn-hooks",
                     [this](const io::UniqueFd& channel) { serve(channel, hooks_, interface_); });
}

bool HookRunner::begin(HookPhase phase) {
  if (commands_of(hooks_, phase).empty()) return false;
  const Question question{Question::Kind::kRun, phase};
  // Where the other process is gone the answer says so.
  [[maybe_unused]] const ssize_t put = send(fd(), &question, sizeof question, MSG_NOSIGNAL);
  return true;
}

Result<bool, Error> HookRunner::finish(HookPhase phase) {
  const std::vector<std::string>& commands = commands_of(hooks_, phase);
  Answer answer;
  const bool answered = process_ && recv(fd(), &answer, sizeof answer, 0) == sizeof answer;
  if (!answered)
    return fail(Error{interface_, 0, "", "the process that runs its commands is gone", "start it again"});
  if (answer.failed_index < 0) return true;
  const std::string command = with_interface(commands[static_cast<size_t>(answer.failed_index)], interface_);
  const std::string how =
      answer.status < 0 ? io::error_text(-answer.status) : "exit status " + std::to_string(answer.status);
  return fail(Error{interface_, 0, "", "the command '" + command + "' failed: " + how,
                    "mend the command, or take it out"});
}

void HookRunner::end_command() noexcept {
  const Question question{Question::Kind::kEndCommand, HookPhase{}};
  send(fd(), &question, sizeof question, MSG_NOSIGNAL);
}

void HookRunner::let_go_of_terminal() noexcept {
  const Question question{Question::Kind::kLetGoOfTerminal, HookPhase{}};
  send(fd(), &question, sizeof question, MSG_NOSIGNAL);
}

}  // namespace vpn::daemon
