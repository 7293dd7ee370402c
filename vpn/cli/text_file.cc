#include "vpn/cli/text_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "vpn/io/system.h"
#include "vpn/io/unique_fd.h"

namespace vpn::cli {
namespace {

constexpr off_t kLongestFile = off_t{64} << 20;

Error unreadable(const std::string& path, std::string problem, std::string remedy) {
  return {path, 0, "", std::move(problem), std::move(remedy)};
}

Error unreadable(const std::string& path, int error_number) {
  return unreadable(path, "cannot be read: " + io::error_text(error_number),
                    error_number == EACCES ? "run as a user who may read it" : "check the path");
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

}  // namespace vpn::cli
