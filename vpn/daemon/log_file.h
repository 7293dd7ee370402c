// A log file of bounded length. Once it is full, what it holds goes over into a second file, and it begins
// anew. Both stay open, so that a daemon that has given up its privileges needs none in their folder, as
// renaming would.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/io/unique_fd.h"

namespace vpn::daemon {

class LogFile {
 public:
  // Opens both files to go on writing, or makes them and their folder, for nobody but their owner. `longest`:
  // bytes.
  [[nodiscard]] static Result<LogFile, Error> open(const std::string& path, const std::string& former,
                                                   size_t longest);
  // Whole lines. What does not fit the disk is lost.
  void append(std::string_view lines) noexcept;

 private:
  LogFile(io::UniqueFd now, io::UniqueFd former, size_t longest) noexcept;
  void begin_anew() noexcept;

  io::UniqueFd now_, former_;
  size_t longest_;
};

}  // namespace vpn::daemon
