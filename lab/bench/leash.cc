#include "lab/bench/leash.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "lab/run/lab.h"

namespace lab::bench {
namespace {

// For the signal handler, which can be handed nothing.
std::atomic<int> held_end{-1};
std::atomic<pid_t> watcher_process{0};

void end_at_once(int signal) {
  ::close(held_end.load());
  int status = 0;
  while (::waitpid(watcher_process.load(), &status, 0) < 0 && errno == EINTR) {
  }
  ::_exit(128 + signal);
}

[[noreturn]] void watch(const std::string& lab, const UniqueFd& end) {
  ::setsid();  // out of reach of the terminal's Ctrl-C
  ::prctl(PR_SET_NAME, "lab-bench-leash");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_IGN);
  char byte = 0;
  while (::read(end.get(), &byte, 1) < 0 && errno == EINTR) {
  }
  if (StateDirectory(lab).exists()) (void)Lab::down(lab);
  ::_exit(0);
}

}  // namespace

Result<Leash> Leash::tie(const std::string& lab) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("", "making a pipe");
  const UniqueFd watched(ends[0]);
  UniqueFd held(ends[1]);
  const pid_t watcher = ::fork();
  if (watcher < 0) return fail_errno("", "forking");
  if (watcher == 0) {
    held.reset();
    watch(lab, watched);
  }
  held_end = held.get();
  watcher_process = watcher;
  struct sigaction action {};
  action.sa_handler = end_at_once;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
  return Leash(std::move(held), watcher);
}

Leash::~Leash() {
  if (watcher_ == 0) return;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_DFL);
  held_.reset();
  int status = 0;
  while (::waitpid(watcher_, &status, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace lab::bench
