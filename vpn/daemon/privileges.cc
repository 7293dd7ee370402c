#include "vpn/daemon/privileges.h"

#include <cap-ng.h>
#include <pwd.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "vpn/io/system.h"

namespace vpn::daemon {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // their run time needs system calls and ptrace that the daemon does not
#else
constexpr bool kSanitized = false;
#endif

// Packets, timers and control; then memory and threads; then what reloading, resolving names and saving
// touch.
constexpr const char* kAllowedCalls[] = {"read",
                                         "write",
                                         "readv",
                                         "writev",
                                         "recvmsg",
                                         "sendmsg",
                                         "recvmmsg",
                                         "sendmmsg",
                                         "recvfrom",
                                         "sendto",
                                         "epoll_wait",
                                         "epoll_pwait",
                                         "epoll_ctl",
                                         "timerfd_settime",
                                         "clock_gettime",
                                         "gettimeofday",
                                         "time",
                                         "accept4",
                                         "close",
                                         "shutdown",
                                         "mmap",
                                         "munmap",
                                         "mremap",
                                         "mprotect",
                                         "madvise",
                                         "mlock",
                                         "munlock",
                                         "brk",
                                         "futex",
                                         "rt_sigaction",
                                         "rt_sigprocmask",
                                         "rt_sigreturn",
                                         "sigaltstack",
                                         "sched_yield",
                                         "sched_getaffinity",
                                         "getrandom",
                                         "restart_syscall",
                                         "set_robust_list",
                                         "rseq",
                                         "exit",
                                         "exit_group",
                                         "getpid",
                                         "gettid",
                                         "tgkill",
                                         "clock_nanosleep",
                                         "nanosleep",
                                         "socket",
                                         "bind",
                                         "listen",
                                         "connect",
                                         "setsockopt",
                                         "getsockopt",
                                         "getsockname",
                                         "getpeername",
                                         "poll",
                                         "ppoll",
                                         "ioctl",
                                         "fcntl",
                                         "openat",
                                         "open",
                                         "lseek",
                                         "fstat",
                                         "newfstatat",
                                         "stat",
                                         "lstat",
                                         "statx",
                                         "statfs",
                                         "access",
                                         "faccessat",
                                         "faccessat2",
                                         "readlink",
                                         "readlinkat",
                                         "getdents64",
                                         "getcwd",
                                         "pread64",
                                         "pwrite64",
                                         "flock",
                                         "fchmod",
                                         "fchown",
                                         "fsync",
                                         "ftruncate",
                                         "rename",
                                         "renameat",
                                         "renameat2",
                                         "unlink",
                                         "rmdir",
                                         "linkat",
                                         "select",
                                         "pselect6",
                                         "unlinkat",
                                         "uname",
                                         "sysinfo",
                                         "getuid",
                                         "geteuid",
                                         "getgid",
                                         "getegid",
                                         "dup2",
                                         "dup3",
                                         "chdir",
                                         "prlimit64",
                                         "wait4",
                                         "inotify_init1",
                                         "inotify_add_watch",
                                         "inotify_rm_watch"};

Error privilege_error(const std::string& what) {
  return {"", 0, "", what + ": " + io::error_text(errno),
          "run as root, or take 'User' out of the configuration"};
}

Result<bool, Error> keep_only_what_serving_needs(const UserIds* user) {
  // The port may be one below 1024, and is opened anew when it changes or the link comes up. Who was started
  // without that right does without it.
  const bool has_low_ports = capng_have_capability(CAPNG_PERMITTED, CAP_NET_BIND_SERVICE) != 0;
  capng_clear(CAPNG_SELECT_BOTH);
  constexpr auto kHeld = static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED);
  capng_update(CAPNG_ADD, kHeld, CAP_NET_ADMIN);
  if (has_low_ports) capng_update(CAPNG_ADD, kHeld, CAP_NET_BIND_SERVICE);
  if (user != nullptr) {
    const auto flags = static_cast<capng_flags_t>(CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING);
    if (capng_change_id(static_cast<int>(user->user), static_cast<int>(user->group), flags) != 0) {
      return fail(privilege_error("cannot become the configured user"));
    }
    return true;
  }
  // Emptying the bounding set is itself a privilege; one who has not even that has nothing to lose.
  if (capng_apply(CAPNG_SELECT_BOTH) != 0 && capng_apply(CAPNG_SELECT_CAPS) != 0) {
    return fail(privilege_error("cannot give capabilities away"));
  }
  return true;
}

}  // namespace

Result<UserIds, Error> find_user(const std::string& name) {
  errno = 0;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): asked at the start, by the only thread that ever asks
  const passwd* const entry = getpwnam(name.c_str());
  if (entry == nullptr) {
    return fail(Error{"", 0, "User", "there is no user '" + name + "'",
                      "make it with 'adduser --system " + name + "'"});
  }
  return UserIds{entry->pw_uid, entry->pw_gid};
}

void forbid_core_dumps() noexcept {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  if (!kSanitized) prctl(PR_SET_DUMPABLE, 0);
}

Result<bool, Error> drop_privileges(const UserIds* user) {
  if (auto kept = keep_only_what_serving_needs(user); !kept) return kept;
  // Becoming another user may have made the process debuggable again.
  forbid_core_dumps();
  return true;
}

Result<bool, Error> filter_system_calls() {
  if (kSanitized) return true;
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)),
                                                                seccomp_release);
  if (!filter) return fail(privilege_error("cannot filter system calls"));
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE,
                   2);  // a binary tree, instead of one call after the other
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  for (const char* const name : kAllowedCalls) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number != __NR_SCMP_ERROR) seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, number, 0);
  }
  if (const int result = seccomp_load(filter.get()); result != 0) {
    errno = -result;
    return fail(privilege_error("cannot filter system calls"));
  }
  return true;
}

}  // namespace vpn::daemon
