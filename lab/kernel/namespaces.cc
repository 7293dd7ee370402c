#include "lab/kernel/namespaces.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <fstream>
#include <sstream>

namespace lab {

Result<UniqueFd> open_network_namespace(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/ns/net";
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.is_open()) return fail_errno(path, "opening the network namespace");
  return fd;
}

Result<NetworkNamespaceScope> NetworkNamespaceScope::enter(const UniqueFd& target) {
  UniqueFd home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home.is_open()) return fail_errno("/proc/thread-self/ns/net", "opening the network namespace");
  if (::setns(target.get(), CLONE_NEWNET) != 0) return fail_errno("", "entering a network namespace");
  return NetworkNamespaceScope(std::move(home));
}

NetworkNamespaceScope::~NetworkNamespaceScope() {
  // To go on in the wrong namespace would configure the wrong host: there is no way to continue.
  if (home_.is_open() && ::setns(home_.get(), CLONE_NEWNET) != 0) std::abort();
}

Result<void> join_namespaces_of(pid_t pid) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process.is_open()) return fail_errno("process " + std::to_string(pid), "opening it");
  struct stat own {};
  struct stat other {};
  const std::string path = "/proc/" + std::to_string(pid) + "/ns/user";
  const bool same_user = ::stat("/proc/self/ns/user", &own) == 0 && ::stat(path.c_str(), &other) == 0 &&
                         own.st_ino == other.st_ino;
  const int flags =
      CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID | (same_user ? 0 : CLONE_NEWUSER);
  if (::setns(process.get(), flags) != 0) {
    return fail_errno("process " + std::to_string(pid), "joining its namespaces",
                      "run as the user who brought the lab up");
  }
  return {};
}

Result<void> make_mounts_private() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0) return {};
  if (errno != EINVAL) return fail_errno("/", "making the lab's mounts its own", "see 'lab doctor'");
  return fail("/", "it is the root of a chroot and no mount, so a lab can have no mounts of its own",
              "before the chroot, make it one: mount --bind DIR DIR");
}

Result<void> mount_sysfs() {
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (::mount("sysfs", "/sys", "sysfs", kFlags, nullptr) == 0) return {};
  if (errno == EPERM && ::mount("sysfs", "/sys", "sysfs", kFlags | MS_RDONLY, nullptr) == 0) return {};
  return fail_errno("/sys", "mounting it", "see 'lab doctor'");
}

Result<void> map_to_root(uid_t uid, gid_t gid) {
  if (auto done = write_file("/proc/self/setgroups", "deny"); !done) return done;
  if (auto done = write_file("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1"); !done) return done;
  return write_file("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
}

Result<void> write_sysctl(const std::string& path, const std::string& value) {
  return write_file("/proc/sys/" + path, value);
}

Result<void> write_file(const std::string& path, const std::string& text, mode_t mode) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!fd.is_open())
    return fail_errno(path, "opening it to write", "name a place that exists and may be written");
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return fail_errno(path, "writing it");
  }
  return {};
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream.is_open() || stream.bad()) return fail_errno(path, "reading it");
  return text.str();
}

}  // namespace lab
