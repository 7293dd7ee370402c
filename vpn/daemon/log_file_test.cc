#include "vpn/daemon/log_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace vpn::daemon {
namespace {

class LogFileTest : public testing::Test {
 protected:
  LogFileTest() : folder_(testing::TempDir() + "log-file-test-" + std::to_string(getpid())) {}
  ~LogFileTest() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] Result<LogFile, Error> open() const { return LogFile::open(now_, former_, 10); }
  static std::string read(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  const std::string folder_;
  const std::string now_ = folder_ + "/wg0.log", former_ = folder_ + "/wg0.1.log";
};

TEST_F(LogFileTest, GoesOnWhereItWasAndIsItsOwnersAlone) {
  open().value().append("one\n");
  open().value().append("two\n");
  EXPECT_EQ(read(now_), "one\ntwo\n");
  EXPECT_EQ(read(former_), "");
  for (const std::string& path : {now_, former_, folder_}) {
    struct stat status {};
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0077, 0u) << path;
  }
}

TEST_F(LogFileTest, WhatItHeldBeforeItWasFullIsInTheFormerOne) {
  auto file = open();
  for (const char* const line : {"12345678\n", "one\n", "two\n", "three\n", "four\n"})
    file.value().append(line);
  EXPECT_EQ(read(now_), "four\n");
  EXPECT_EQ(read(former_), "three\n");
}

TEST_F(LogFileTest, ALineThatIsLongerThanTheFileIsWhole) {
  auto file = open();
  file.value().append("a line that is too long\n");
  EXPECT_EQ(read(now_), "a line that is too long\n");
  file.value().append("next\n");
  EXPECT_EQ(read(now_), "next\n");
  EXPECT_EQ(read(former_), "a line that is too long\n");
}

// As after the daemon has become another user, who may not even look into the folder.
TEST_F(LogFileTest, NeedsNothingOfItsFolderOnceItIsOpen) {
  auto file = open();
  file.value().append("12345678\n");
  std::filesystem::rename(folder_, folder_ + ".elsewhere");
  file.value().append("next\n");
  std::filesystem::rename(folder_ + ".elsewhere", folder_);
  EXPECT_EQ(read(now_), "next\n");
  EXPECT_EQ(read(former_), "12345678\n");
}

TEST_F(LogFileTest, SaysWhatKeepsItFromBeingMade) {
  std::filesystem::create_directories(now_);
  const auto file = open();
  ASSERT_FALSE(file.has_value());
  EXPECT_NE(file.error().to_string().find(now_ + ": cannot be opened: Is a directory; remedy: "),
            std::string::npos)
      << file.error().to_string();
}

}  // namespace
}  // namespace vpn::daemon
