// For tests: running a command line inside the process, and files that vanish afterwards.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "vpn/cli/command_line.h"

namespace vpn::cli {

struct CommandResult {
  int exit_code = 0;
  std::string out, err;
};

// `vpn ARGUMENTS…` with `input` on its standard input.
inline CommandResult run_vpn(std::vector<std::string> arguments, const std::string& input = {}) {
  std::istringstream in(input);
  std::ostringstream out, err;
  Io io{in, out, err};
  const int exit_code = run_command_line(std::move(arguments), io);
  return {exit_code, out.str(), err.str()};
}

// A folder of the test's own, removed with all it holds.
class TestFolder {
 public:
  TestFolder();
  ~TestFolder();
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }
  // Makes a file, mode 0600, and returns its path.
  std::string write(const std::string& name, const std::string& text) const;
  [[nodiscard]] std::string read(const std::string& name) const;

 private:
  std::string folder_;
};

}  // namespace vpn::cli
