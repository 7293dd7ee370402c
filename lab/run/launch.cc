#include "lab/run/launch.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "lab/kernel/namespaces.h"

namespace lab {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kKeeperNice = -15;

// What the new processes tell the one that waits: one line of JSON each.
class Reporter {
 public:
  explicit Reporter(UniqueFd pipe) : pipe_(std::move(pipe)) {}
  // False where nobody waits any more.
  bool failure(const Error& error) {
    return say({{"where", error.where}, {"what", error.what}, {"remedy", error.remedy}});
  }
  [[nodiscard]] bool success() { return say(Json::object()); }
  void close() { pipe_.reset(); }
  [[nodiscard]] int fd() const { return pipe_.get(); }

 private:
  bool say(const Json& json) {
    const std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace);
    return ::write(pipe_.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size());
  }
  UniqueFd pipe_;
};

Result<void> own_mounts() {
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS) != 0) return fail_errno("", "making namespaces");
  if (auto done = make_mounts_private(); !done) return done;
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    return fail_errno("/proc", "mounting it");
  }
  return {};
}

void leave_the_terminal(const StateDirectory& state) {
  ::setsid();
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd log(
      ::open(state.file("keeper.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  ::dup2(null.get(), 0);
  ::dup2(log.is_open() ? log.get() : null.get(), 1);
  ::dup2(log.is_open() ? log.get() : null.get(), 2);
}

void close_all_but(int one, int other) {
  const auto less = static_cast<unsigned>(std::min(one, other));
  const auto more = static_cast<unsigned>(std::max(one, other));
  if (less > 3) ::close_range(3, less - 1, 0);
  if (more > less + 1) ::close_range(less + 1, more - 1, 0);
  ::close_range(more + 1, ~0U, 0);
}

// What ends the keeper waits, from its first moment on, until it listens: process 1 of a PID namespace would
// not hear it otherwise.
void hold_back_signals() {
  sigset_t ending;
  sigemptyset(&ending);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ending, signal);
  ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

// Process 1 of the lab. `go` reads a byte once the keeper's number is on disk; from then on that, and no
// longer `claim`, keeps others off the lab.
[[noreturn]] void keep(const StateDirectory& state, LabPlan plan, Reporter& report, const UniqueFd& go,
                       int claim) {
  char byte = 0;
  if (::read(go.get(), &byte, 1) != 1) ::_exit(1);
  ::close(claim);
  ::prctl(PR_SET_NAME, "lab-keeper");
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  // The weather must be on time on a busy machine too; what the keeper starts runs as everything else does.
  // An ordinary user may not, and has weather that is as late as the machine is busy.
  const sched_param priority{};
  ::sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &priority);
  (void)::setpriority(PRIO_PROCESS, 0, kKeeperNice);
  if (auto done = own_mounts(); !done) {
    report.failure(done.error());
    ::_exit(1);
  }
  {
    Keeper keeper(state, std::move(plan));
    const auto built = keeper.build();
    const bool heard = built ? report.success() : report.failure(built.error());
    report.close();
    if (!heard) {  // whoever asked for the lab was killed: there is nobody else to undo it
      keeper.end_processes();
      (void)state.remove();
    }
    if (!heard || !built) ::_exit(1);
    keeper.serve();
  }
  std::exit(0);  // NOLINT(concurrency-mt-unsafe): this process has one thread
}

// The process between: it makes the PID namespace, whose first process is its child, and ends.
[[noreturn]] void found(const StateDirectory& state, LabPlan plan, Reporter& report, int claim) {
  const auto give_up = [&](const Error& error) {
    report.failure(error);
    ::_exit(1);
  };
  leave_the_terminal(state);
  close_all_but(report.fd(), claim);
  hold_back_signals();
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (plan.rootless) {
    if (::unshare(CLONE_NEWUSER) != 0) {
      give_up(fail_errno("", "making a user namespace", "see 'lab doctor', or run as root").value());
    }
    if (auto mapped = map_to_root(uid, gid); !mapped) give_up(mapped.error());
  }
  if (::unshare(CLONE_NEWPID) != 0) give_up(fail_errno("", "making a PID namespace", "run as root").value());
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) give_up(fail_errno("", "making a pipe").value());
  const UniqueFd go(ends[0]);
  UniqueFd start(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) give_up(fail_errno("", "forking").value());
  if (child == 0) {
    start.reset();
    keep(state, std::move(plan), report, go, claim);
  }
  const auto id = ProcessId::of(child);
  if (!id || !state.write_keeper(*id))
    give_up(Error{state.path(), "the keeper's number could not be written", ""});
  (void)!::write(start.get(), "g", 1);
  ::_exit(0);
}

}  // namespace

Result<ProcessId> launch_keeper(const StateDirectory& state, LabPlan plan, const UniqueFd& claim) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("", "making a pipe");
  const UniqueFd outcome(ends[0]);
  Reporter report{UniqueFd(ends[1])};
  const pid_t between = ::fork();
  if (between < 0) return fail_errno("", "forking");
  if (between == 0) found(state, std::move(plan), report, claim.get());
  report.close();
  ::waitpid(between, nullptr, 0);
  std::string answer;
  for (char buffer[4096];;) {
    const ssize_t count = ::read(outcome.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    answer.append(buffer, static_cast<size_t>(count));
  }
  const Json json = Json::parse(answer, nullptr, false);
  if (!json.is_object()) {
    return fail("lab " + state.name(), "the keeper ended without a word", "see " + state.file("keeper.log"));
  }
  if (json.contains("what"))
    return fail(json.value("where", ""), json.value("what", ""), json.value("remedy", ""));
  const auto keeper = state.live_keeper();
  if (!keeper)
    return fail("lab " + state.name(), "the keeper ended at once", "see " + state.file("keeper.log"));
  return *keeper;
}

}  // namespace lab
