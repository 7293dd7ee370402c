// Configuration files on disk: reading one whole, and replacing one so that nobody ever sees half of it.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/daemon/secret_text.h"
#include "vpn/io/unique_fd.h"

namespace vpn::daemon {

struct TextFile {
  SecretText text;
  struct stat status {};
};
// The whole file, at most 64 MiB.
[[nodiscard]] Result<TextFile, Error> read_text_file(const std::string& path);

// Makes a file of mode 0600. An error when it exists: nothing is overwritten.
[[nodiscard]] Result<void, Error> write_new_file(const std::string& path, std::string_view text);

// Puts `text` in the place of the file at once, with the owner and mode of `status`; a symbolic link stays
// one. After an error the file is what it was.
[[nodiscard]] Result<void, Error> replace_file(const std::string& path, std::string_view text,
                                               const struct stat& status);

// Waits until nobody else edits the file, and keeps others waiting until the lock goes.
class FileLock {
 public:
  [[nodiscard]] static Result<FileLock, Error> take(const std::string& path);

 private:
  explicit FileLock(io::UniqueFd fd) : fd_(std::move(fd)) {}
  io::UniqueFd fd_;
};

}  // namespace vpn::daemon
