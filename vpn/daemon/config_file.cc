#include "vpn/daemon/config_file.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "vpn/config/ini.h"
#include "vpn/config/text.h"
#include "vpn/io/system.h"
#include "vpn/io/unique_fd.h"

namespace vpn::daemon {
namespace {

constexpr std::string_view kSuffix = ".conf";
constexpr size_t kLongestFile = size_t{64} << 20;

}  // namespace

std::string config_path(const std::string& file_or_interface) {
  const bool is_path =
      file_or_interface.find('/') != std::string::npos || file_or_interface.ends_with(kSuffix);
  return is_path ? file_or_interface : "/etc/wireguard/" + file_or_interface + std::string(kSuffix);
}

Result<std::string, Error> interface_of(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);
  if (name.ends_with(kSuffix)) {
    name.resize(name.size() - kSuffix.size());
    if (config::is_interface_name(name)) return name;
  }
  return fail(Error{path, 0, "", "the file's name does not give an interface's name",
                    "name it INTERFACE.conf, with 1 to 15 letters, digits or _=+.-"});
}

Result<ConfigFile, Error> read_config(const std::string& path) {
  const auto unreadable = [&](int error_number) {
    return fail(Error{path, 0, "", "cannot be read: " + io::error_text(error_number),
                      error_number == ENOENT ? "check the path" : "run as a user who may read it"});
  };
  const io::UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return unreadable(errno);
  std::string text;
  std::array<char, 65536> bytes;
  while (true) {
    const ssize_t got = read(file.get(), bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable(errno);
    if (got == 0) break;
    text.append(bytes.data(), static_cast<size_t>(got));
    if (text.size() > kLongestFile) return unreadable(EFBIG);
  }
  sodium_memzero(bytes.data(), bytes.size());
  struct stat status {};
  fstat(file.get(), &status);
  auto config = config::parse_ini(text, path);
  sodium_memzero(text.data(), text.size());
  if (!config) return fail(std::move(config.error()));
  return ConfigFile{std::move(*config), (status.st_mode & S_IROTH) != 0};
}

Result<bool, Error> write_config(const std::string& path, const config::Config& config) {
  const auto failed = [&](int error_number) {
    return fail(Error{path, 0, "", "cannot be written: " + io::error_text(error_number),
                      "run as a user who may write it"});
  };
  const std::string temporary = path + ".tmp";
  const io::UniqueFd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.is_open()) return failed(errno);
  std::string text = config::to_ini(config);
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t put = write(file.get(), text.data() + written, text.size() - written);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) break;
    written += static_cast<size_t>(put);
  }
  const bool whole = written == text.size() && fsync(file.get()) == 0;
  sodium_memzero(text.data(), text.size());
  if (whole && rename(temporary.c_str(), path.c_str()) == 0) return true;
  const int error_number = errno;
  unlink(temporary.c_str());
  return failed(error_number);
}

}  // namespace vpn::daemon
