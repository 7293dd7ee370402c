#include "vpn/host/sysctl.h"

#include <fcntl.h>

#include <cerrno>
#include <fstream>
#include <system_error>

#include "vpn/io/unique_fd.h"

namespace vpn::host {
namespace {

std::string sysctl_path(const std::string& name) {
  return "/proc/sys/" + name;
}

}  // namespace

Result<std::string, Error> read_sysctl(const std::string& name) {
  std::ifstream file(sysctl_path(name));
  std::string value;
  if (!std::getline(file, value)) {
    return fail(Error{sysctl_path(name), 0, "", "cannot be read", "the kernel must have it"});
  }
  return value;
}

Result<bool, Error> write_sysctl(const std::string& name, const std::string& value) {
  std::ofstream file(sysctl_path(name));
  file << value << std::flush;
  if (!file)
    return fail(
        Error{sysctl_path(name), 0, "", "cannot be set to " + value, "set it yourself, or run as root"});
  return true;
}

Result<bool, Error> may_write_sysctl(const std::string& name) {
  const io::UniqueFd file(open(sysctl_path(name).c_str(), O_WRONLY | O_CLOEXEC));
  if (file.is_open()) return true;
  return fail(Error{sysctl_path(name), 0, "", "cannot be written: " + std::generic_category().message(errno),
                    "set it yourself, or run as root where /proc/sys is writable"});
}

}  // namespace vpn::host
