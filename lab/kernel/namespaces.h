// Namespaces: making them, entering and leaving them.
#pragma once

#include <sys/types.h>

#include <string>

#include "lab/error.h"
#include "lab/kernel/unique_fd.h"

namespace lab {

// Opens the network namespace of a process.
[[nodiscard]] Result<UniqueFd> open_network_namespace(pid_t pid);

// The calling thread is in another network namespace as long as this lives.
class NetworkNamespaceScope {
 public:
  [[nodiscard]] static Result<NetworkNamespaceScope> enter(const UniqueFd& target);
  NetworkNamespaceScope(NetworkNamespaceScope&&) noexcept = default;
  NetworkNamespaceScope& operator=(NetworkNamespaceScope&&) = delete;
  ~NetworkNamespaceScope();

 private:
  explicit NetworkNamespaceScope(UniqueFd home) : home_(std::move(home)) {}
  UniqueFd home_;
};

// Joins all of a process's namespaces (network, mount, host name, and for children PID; user too where it
// differs from ours). For a process that is about to run a program there.
[[nodiscard]] Result<void> join_namespaces_of(pid_t pid);

// Keeps what is mounted in the mount namespace that the calling process has just made from showing elsewhere.
[[nodiscard]] Result<void> make_mounts_private();

// Mounts /sys of the calling process's network namespace. Where the one that it covers is read-only, as in
// containers, so is this one if we are in a user namespace: the kernel refuses more.
[[nodiscard]] Result<void> mount_sysfs();

// Maps the caller's user and group to root of the user namespace it has just made.
[[nodiscard]] Result<void> map_to_root(uid_t uid, gid_t gid);

// Writes a value to /proc/sys/<path> of the calling thread's namespaces.
[[nodiscard]] Result<void> write_sysctl(const std::string& path, const std::string& value);

// Writes a whole file; `where` in errors is the path.
[[nodiscard]] Result<void> write_file(const std::string& path, const std::string& text, mode_t mode = 0644);

// The whole content of a file; an Error where it cannot be read.
[[nodiscard]] Result<std::string> read_file(const std::string& path);

}  // namespace lab
