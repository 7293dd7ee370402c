#include "vpn/daemon/text_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "vpn/io/system.h"
#include "vpn/io/unique_fd.h"

namespace vpn::daemon {
namespace {

constexpr off_t kLongestFile = off_t{64} << 20;

Error unreadable(const std::string& path, std::string problem, std::string remedy) {
  return {path, 0, "", std::move(problem), std::move(remedy)};
}

Error unreadable(const std::string& path, int error_number) {
  return unreadable(path, "cannot be read: " + io::error_text(error_number),
                    error_number == EACCES ? "run as a user who may read it" : "check the path");
}

Error unwritable(const std::string& path, int error_number, std::string remedy) {
  return {path, 0, "", "cannot be written: " + io::error_text(error_number), std::move(remedy)};
}

bool write_all(const io::UniqueFd& file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = write(file.get(), text.data(), text.size());
    if (put < 0 && errno != EINTR) return false;
    if (put > 0) text.remove_prefix(static_cast<size_t>(put));
  }
  return true;
}

// Gives a new file, of mode 0600, the owner, group and mode of the one it replaces. Its owner alone may open
// it where the group cannot be given to it: a confined daemon has no right to.
bool take_over_rights(const io::UniqueFd& file, const struct stat& status) {
  struct stat made {};
  if (fstat(file.get(), &made) != 0) return false;
  const bool same = made.st_uid == status.st_uid && made.st_gid == status.st_gid;
  if (same || fchown(file.get(), status.st_uid, status.st_gid) == 0)
    return fchmod(file.get(), status.st_mode & 07777) == 0;
  return errno == EPERM && made.st_uid == status.st_uid;
}

}  // namespace

Result<TextFile, Error> read_text_file(const std::string& path) {
  // O_NONBLOCK: a FIFO must not hang us before it is seen to be none of ours.
  const io::UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  TextFile result;
  if (!file.is_open() || fstat(file.get(), &result.status) != 0) return fail(unreadable(path, errno));
  if (S_ISDIR(result.status.st_mode)) return fail(unreadable(path, EISDIR));
  if (!S_ISREG(result.status.st_mode)) {
    return fail(unreadable(path, "is no regular file", "give the configuration file itself"));
  }
  if (result.status.st_size > kLongestFile) {
    return fail(unreadable(path, "is over 64 MiB", "give a configuration file"));
  }
  // The size is known, so the text never moves and leaves no copy behind.
  std::string text(static_cast<size_t>(result.status.st_size), '\0');
  size_t length = 0;
  while (length < text.size()) {
    const ssize_t got = read(file.get(), text.data() + length, text.size() - length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(unreadable(path, errno));
    if (got == 0) break;
    length += static_cast<size_t>(got);
  }
  text.resize(length);
  result.text = SecretText(std::move(text));
  return result;
}

Result<void, Error> write_new_file(const std::string& path, std::string_view text) {
  const io::UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.is_open()) {
    return fail(
        unwritable(path, errno, errno == EEXIST ? "choose another name, or remove it" : "check the folder"));
  }
  if (write_all(file, text) && fsync(file.get()) == 0) return {};
  const int error_number = errno;
  unlink(path.c_str());
  return fail(unwritable(path, error_number, "make room, and try again"));
}

Result<void, Error> replace_file(const std::string& path, std::string_view text, const struct stat& status) {
  std::error_code error;
  const std::string target = std::filesystem::canonical(path, error);
  if (error) return fail(unwritable(path, error.value(), "check the path"));
  std::string temporary = target + ".XXXXXX";
  const io::UniqueFd file(mkostemp(temporary.data(), O_CLOEXEC));  // mode 0600
  if (!file.is_open()) return fail(unwritable(path, errno, "run as a user who may write in its folder"));
  const bool done = write_all(file, text) && take_over_rights(file, status) && fsync(file.get()) == 0 &&
                    rename(temporary.c_str(), target.c_str()) == 0;
  if (done) return {};
  const int error_number = errno;
  unlink(temporary.c_str());
  return fail(unwritable(path, error_number, "run as its owner, and see that there is room"));
}

Result<FileLock, Error> FileLock::take(const std::string& path) {
  while (true) {
    io::UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file.is_open() || flock(file.get(), LOCK_EX) != 0) return fail(unreadable(path, errno));
    // Whoever held the lock has most likely put another file in this one's place.
    struct stat locked {
    }, current{};
    if (fstat(file.get(), &locked) != 0 || stat(path.c_str(), &current) != 0)
      return fail(unreadable(path, errno));
    if (locked.st_ino == current.st_ino && locked.st_dev == current.st_dev) return FileLock(std::move(file));
  }
}

}  // namespace vpn::daemon
