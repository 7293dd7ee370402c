#include "vpn/cli/test_command.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace vpn::cli {

TestFolder::TestFolder() : folder_(testing::TempDir() + "vpn-cli-test-XXXXXX") {
  if (mkdtemp(folder_.data()) == nullptr) ADD_FAILURE() << "cannot make " << folder_;
}

TestFolder::~TestFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string TestFolder::write(const std::string& name, const std::string& text) const {
  const std::string file = path(name);
  std::ofstream(file) << text;
  EXPECT_EQ(chmod(file.c_str(), 0600), 0);
  return file;
}

std::string TestFolder::read(const std::string& name) const {
  std::ifstream file(path(name));
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace vpn::cli
