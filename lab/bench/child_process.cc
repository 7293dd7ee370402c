#include "lab/bench/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "lab/kernel/namespaces.h"
#include "lab/kernel/unique_fd.h"

namespace lab::bench {
namespace {

std::vector<char*> to_argv(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  return argv;
}

// A file without a name that holds the text, to be read from its start.
Result<UniqueFd> memory_file(const std::string& text) {
  UniqueFd file(::memfd_create("input", MFD_CLOEXEC));
  if (!file.is_open()) return fail_errno("", "making a file in memory");
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::lseek(file.get(), 0, SEEK_SET) != 0) {
    return fail_errno("", "filling a file in memory");
  }
  return file;
}

std::string read_all(const UniqueFd& from) {
  std::string text;
  for (char buffer[4096];;) {
    const ssize_t count = ::read(from.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(buffer, static_cast<size_t>(count));
  }
}

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

[[noreturn]] void become(std::vector<char*>& argv, const UniqueFd& input, int output,
                         const UniqueFd& failed) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::dup2(input.get(), 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  ::execvp(argv[0], argv.data());
  const std::string problem =
      std::string(argv[0]) + ": " + std::strerror(errno);  // NOLINT(concurrency-mt-unsafe)
  (void)!::write(failed.get(), problem.data(), problem.size());
  ::_exit(127);
}

}  // namespace

Result<std::string> output_of(const std::vector<std::string>& words, const std::string& input) {
  const auto given = memory_file(input);
  if (!given) return fail(given.error());
  int ends[2];
  int outcome_ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(words[0], "making a pipe");
  const UniqueFd output(ends[0]);
  UniqueFd written(ends[1]);
  if (::pipe2(outcome_ends, O_CLOEXEC) != 0) return fail_errno(words[0], "making a pipe");
  const UniqueFd outcome(outcome_ends[0]);
  UniqueFd failed(outcome_ends[1]);
  auto argv = to_argv(words);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(words[0], "forking");
  if (child == 0) become(argv, *given, written.get(), failed);
  written.reset();
  failed.reset();
  std::string text = read_all(output);
  const std::string problem = read_all(outcome);
  wait_for(child);
  if (!problem.empty()) return fail("", problem, "install it");
  return text;
}

Result<void> start_in_host(const Lab& lab, const std::string& host, const std::vector<std::string>& words,
                           const std::string& input, const std::string& log) {
  const auto holder = lab.holder_of(host);
  if (!holder) return fail(holder.error());
  const auto given = memory_file(input);
  if (!given) return fail(given.error());
  const UniqueFd output(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!output.is_open()) return fail_errno(log, "opening the log");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(host, "making a pipe");
  const UniqueFd outcome(ends[0]);
  UniqueFd failed(ends[1]);
  auto argv = to_argv(words);
  // A child joins, and its child is in the PID namespace, and the keeper's once its parent has ended.
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(host, "forking");
  if (child == 0) {
    ::setsid();
    if (auto joined = join_namespaces_of(*holder); !joined) {
      const std::string problem = joined.error().to_string();
      (void)!::write(failed.get(), problem.data(), problem.size());
      ::_exit(1);
    }
    (void)!::chdir("/");
    if (::fork() == 0) become(argv, *given, output.get(), failed);
    ::_exit(0);
  }
  failed.reset();
  const std::string problem = read_all(outcome);
  wait_for(child);
  if (!problem.empty()) return fail("host " + host, problem);
  return {};
}

std::vector<pid_t> daemons_of(const Lab& lab) {
  std::vector<pid_t> daemons;
  const auto keeper = lab.state().live_keeper();
  if (!keeper) return daemons;
  const auto pid_namespace_of = [](const std::string& process) {
    struct stat found {};
    return ::stat(("/proc/" + process + "/ns/pid").c_str(), &found) == 0 ? found.st_ino : ino_t{0};
  };
  const std::string keeper_name = std::to_string(keeper->pid);
  const ino_t inside = pid_namespace_of(keeper_name);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos || name == keeper_name) continue;
    if (pid_namespace_of(name) != inside) continue;
    if (read_file(entry.path() / "comm").value_or("") != "lab-host\n") daemons.push_back(std::stoi(name));
  }
  return daemons;
}

}  // namespace lab::bench
