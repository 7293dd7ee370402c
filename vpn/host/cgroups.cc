#include "vpn/host/cgroups.h"

#include <linux/magic.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace vpn::host {
namespace {

constexpr char kCgroupRoot[] = "/sys/fs/cgroup/";

}  // namespace

std::string cgroup_folder() {
  // Where both versions are in use, systemd has the second one below "unified".
  for (const char* const folder : {"", "unified/"}) {
    struct statfs status {};
    if (statfs((kCgroupRoot + std::string(folder)).c_str(), &status) == 0 &&
        status.f_type == CGROUP2_SUPER_MAGIC) {
      return folder;
    }
  }
  return "";
}

std::string cgroup_path(const std::string& group) {
  return kCgroupRoot + cgroup_folder() + group;
}

std::vector<std::string> cgroups_of(const config::InterfaceConfig& interface) {
  std::vector<std::string> groups = interface.tunnel_cgroups;
  groups.insert(groups.end(), interface.bypass_cgroups.begin(), interface.bypass_cgroups.end());
  return groups;
}

std::map<std::string, uint64_t> cgroup_ids(const std::vector<std::string>& groups) {
  std::map<std::string, uint64_t> ids;
  for (const std::string& group : groups) {
    const std::string path = cgroup_path(group);
    struct stat status {};
    const bool is_group = access((path + "/cgroup.procs").c_str(), F_OK) == 0;
    if (is_group && stat(path.c_str(), &status) == 0) ids[group] = status.st_ino;
  }
  return ids;
}

Result<std::unique_ptr<CgroupMonitor>, Error> CgroupMonitor::open(std::function<void()> on_change) {
  io::UniqueFd watcher(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!watcher.is_open()) {
    return fail(Error{"inotify", 0, "", std::generic_category().message(errno),
                      "raise the limit of watchers: sysctl fs.inotify.max_user_instances=1024"});
  }
  return std::unique_ptr<CgroupMonitor>(new CgroupMonitor(std::move(watcher), std::move(on_change)));
}

void CgroupMonitor::watch(std::vector<std::string> groups) {
  groups_ = std::move(groups);
  watch_folders();
}

// A folder on the way to a group may come and go like the group. One that is watched already stays so.
void CgroupMonitor::watch_folders() noexcept {
  constexpr uint32_t kEvents = IN_CREATE | IN_DELETE | IN_MOVE | IN_ONLYDIR;
  const size_t root = std::string(kCgroupRoot).size();
  for (const std::string& group : groups_) {
    const std::string path = cgroup_path(group);
    for (size_t end = path.find('/', root - 1); end != std::string::npos; end = path.find('/', end + 1))
      inotify_add_watch(watcher_.get(), path.substr(0, end).c_str(), kEvents);
  }
}

void CgroupMonitor::hear() {
  alignas(inotify_event) std::array<char, 4096> events;
  bool is_any = false;
  while (read(watcher_.get(), events.data(), events.size()) > 0) is_any = true;
  if (!is_any) return;
  watch_folders();
  on_change_();
}

}  // namespace vpn::host
