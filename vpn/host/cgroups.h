// cgroups (of version 2) that a configuration names: which are there, and when that changes. A service
// manager removes a unit's and makes it anew with each start; the firewall knows one by a number.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/config.h"
#include "vpn/io/unique_fd.h"

namespace vpn::host {

// Of the hierarchy, below /sys/fs/cgroup: "" where that is one itself, else like "unified/".
[[nodiscard]] std::string cgroup_folder();
// The whole path of one.
[[nodiscard]] std::string cgroup_path(const std::string& group);
// All that TunnelCgroup and BypassCgroup name.
[[nodiscard]] std::vector<std::string> cgroups_of(const config::InterfaceConfig& interface);
// Of the groups, those that are there, each with the number that the kernel knows it by, and gives to no
// other.
[[nodiscard]] std::map<std::string, uint64_t> cgroup_ids(const std::vector<std::string>& groups);

class CgroupMonitor {
 public:
  // `on_change` must be callable; hear() calls it.
  [[nodiscard]] static Result<std::unique_ptr<CgroupMonitor>, Error> open(std::function<void()> on_change);
  // From now on hears also when one of these may have come or gone.
  void watch(std::vector<std::string> groups);
  // Readable when there is something to hear; then call hear().
  [[nodiscard]] int fd() const noexcept { return watcher_.get(); }
  void hear();

 private:
  CgroupMonitor(io::UniqueFd watcher, std::function<void()> on_change)
      : watcher_(std::move(watcher)), on_change_(std::move(on_change)) {}
  void watch_folders() noexcept;

  io::UniqueFd watcher_;
  std::function<void()> on_change_;
  std::vector<std::string> groups_;
};

}  // namespace vpn::host
