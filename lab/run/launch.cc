#include "lab/run/launch.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "lab/kernel/namespaces.h"

namespace lab {
namespace {

using Json = nlohmann::json;

constexpr int kKeeperNice = -15;

// What the new processes tell the one that waits: one line of JSON each.
class Reporter {
 public:
  explicit Reporter(UniqueFd pipe) : pipe_(std::move(pipe)) {}
  void failure(const Error& error) {
    say({{"where", error.where}, {"what", error.what}, {"remedy", error.remedy}});
  }
  void success() { say(Json::object()); }
  void close() { pipe_.reset(); }
  [[nodiscard]] int fd() const { return pipe_.get(); }

 private:
  void say(const Json& json) {
    const std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace);
    (void)!::write(pipe_.get(), line.data(), line.size());
  }
  UniqueFd pipe_;
};

Result<void> own_mounts() {
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS) != 0) return fail_errno("", "making namespaces");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return fail_errno("/", "making mounts private");
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

void close_all_but(int kept) {
  if (kept > 3) ::close_range(3, static_cast<unsigned>(kept) - 1, 0);
  ::close_range(static_cast<unsigned>(kept) + 1, ~0U, 0);
}

// Process 1 of the lab. `go` reads a byte once the keeper's number is on disk.
[[noreturn]] void keep(const StateDirectory& state, LabPlan plan, Reporter& report, const UniqueFd& go) {
  char byte = 0;
  if (::read(go.get(), &byte, 1) != 1) ::_exit(1);
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
    if (auto built = keeper.build(); !built) {
      report.failure(built.error());
      ::_exit(1);
    }
    report.success();
    report.close();
    keeper.serve();
  }
  std::exit(0);
}

// The process between: it makes the PID namespace, whose first process is its child, and ends.
[[noreturn]] void found(const StateDirectory& state, LabPlan plan, Reporter& report) {
  const auto give_up = [&](const Error& error) {
    report.failure(error);
    ::_exit(1);
  };
  leave_the_terminal(state);
  close_all_but(report.fd());
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
    keep(state, std::move(plan), report, go);
  }
  const auto id = ProcessId::of(child);
  if (!id || !state.write_keeper(*id))
    give_up(Error{state.path(), "the keeper's number could not be written", ""});
  (void)!::write(start.get(), "g", 1);
  ::_exit(0);
}

}  // namespace

Result<ProcessId> launch_keeper(const StateDirectory& state, LabPlan plan) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("", "making a pipe");
  const UniqueFd outcome(ends[0]);
  Reporter report{UniqueFd(ends[1])};
  const pid_t between = ::fork();
  if (between < 0) return fail_errno("", "forking");
  if (between == 0) found(state, std::move(plan), report);
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
