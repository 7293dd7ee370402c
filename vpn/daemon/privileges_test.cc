#include "vpn/daemon/privileges.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace vpn::daemon {
namespace {

// The exit code of a process that does `what` behind the filter; it would change this one for good.
template <typename What>
int behind_filter(What what) {
  const pid_t child = fork();
  if (child == 0) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !filter_system_calls()) _exit(99);
    _exit(what());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool is_sanitized() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#else
  return false;
#endif
}

TEST(SystemCallFilter, LetsNoProgramBeRun) {
  if (is_sanitized()) GTEST_SKIP() << "by design: the sanitizers' run time does without the filter";
  EXPECT_EQ(behind_filter([] {
              execl("/bin/true", "true", nullptr);
              return errno;
            }),
            EPERM);
}

TEST(SystemCallFilter, LetsNoProcessBeMadeOrLookedInto) {
  if (is_sanitized()) GTEST_SKIP() << "by design: the sanitizers' run time does without the filter";
  EXPECT_EQ(behind_filter([] { return fork() < 0 ? errno : 0; }), EPERM);
  EXPECT_EQ(behind_filter([] { return kill(1, 0) < 0 ? errno : 0; }), EPERM);
  EXPECT_EQ(behind_filter([] { return setuid(0) < 0 ? errno : 0; }), EPERM);
}

TEST(SystemCallFilter, LeavesWhatServingNeeds) {
  EXPECT_EQ(behind_filter([] {
              return getpid() > 0 && write(STDERR_FILENO, "", 0) == 0 && access("/", R_OK) == 0 ? 0 : 1;
            }),
            0);
}

TEST(CoreDumps, AreForbidden) {
  EXPECT_EQ(behind_filter([] {
              forbid_core_dumps();
              rlimit limit{};
              getrlimit(RLIMIT_CORE, &limit);
              return limit.rlim_cur == 0 && limit.rlim_max == 0 ? 0 : 1;
            }),
            0);
}

}  // namespace
}  // namespace vpn::daemon
