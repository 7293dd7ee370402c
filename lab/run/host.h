// HostNamespace: one host as it runs: a process that does nothing but hold the host's namespaces open.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lab/error.h"
#include "lab/kernel/namespaces.h"
#include "lab/kernel/netlink.h"
#include "lab/run/state_directory.h"

namespace lab {

class HostNamespace {
 public:
  // Forks the holder, which makes the namespaces and mounts the host's own /run, /etc and /sys. `etc_files`
  // are files of /etc (name, content) that the host has from the start. Returns at once; ready() waits.
  [[nodiscard]] static Result<HostNamespace> start(
      const StateDirectory& state, const std::string& name, bool rootless,
      const std::vector<std::pair<std::string, std::string>>& etc_files);
  // Waits until the namespaces stand, and opens them.
  [[nodiscard]] Result<void> ready();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] pid_t holder() const { return holder_; }
  [[nodiscard]] const UniqueFd& network() const { return network_; }
  [[nodiscard]] Netlink& netlink() { return *netlink_; }

  // Runs a program in the host, its output appended to `log`, in a session of its own. Returns its process.
  [[nodiscard]] Result<pid_t> spawn(const std::vector<std::string>& argv, const std::string& log) const;

 private:
  std::string name_;
  pid_t holder_ = 0;
  UniqueFd report_;  // the holder's end says "" (well) or what went wrong, then closes
  UniqueFd network_;
  std::optional<Netlink> netlink_;
};

}  // namespace lab
