#include "vpn/daemon/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace vpn::daemon {
namespace {

// By the descriptor: two daemons may write to one file, of one name in two network namespaces.
size_t length_of(const io::UniqueFd& file) noexcept {
  struct stat status {};
  return fstat(file.get(), &status) == 0 ? static_cast<size_t>(status.st_size) : 0;
}

}  // namespace

LogFile::LogFile(io::UniqueFd now, io::UniqueFd former, size_t longest) noexcept
    : now_(std::move(now)), former_(std::move(former)), longest_(longest) {}

Result<LogFile, Error> LogFile::open(const std::string& path, const std::string& former, size_t longest) {
  mkdir(path.substr(0, path.rfind('/')).c_str(), 0700);
  constexpr int kFlags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
  std::array<io::UniqueFd, 2> files;
  for (size_t index = 0; index < files.size(); ++index) {
    const std::string& name = index == 0 ? path : former;
    files[index] = io::UniqueFd(::open(name.c_str(), kFlags, 0600));
    if (!files[index].is_open())
      return fail(Error{name, 0, "", "cannot be opened: " + std::generic_category().message(errno),
                        "see that its folder is there and the disk is not full"});
  }
  return LogFile(std::move(files[0]), std::move(files[1]), longest);
}

void LogFile::append(std::string_view lines) noexcept {
  const size_t length = length_of(now_);
  if (length > 0 && length + lines.size() > longest_) begin_anew();
  [[maybe_unused]] const ssize_t written = write(now_.get(), lines.data(), lines.size());
}

void LogFile::begin_anew() noexcept {
  [[maybe_unused]] int done = ftruncate(former_.get(), 0);
  std::array<char, 65536> part;
  off_t at = 0;
  for (ssize_t got = 0; (got = pread(now_.get(), part.data(), part.size(), at)) > 0; at += got) {
    if (write(former_.get(), part.data(), static_cast<size_t>(got)) != got) break;
  }
  done = ftruncate(now_.get(), 0);
}

}  // namespace vpn::daemon
