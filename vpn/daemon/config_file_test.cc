#include "vpn/daemon/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "vpn/daemon/text_file.h"

namespace vpn::daemon {
namespace {

using testing::HasSubstr;

TEST(ConfigFile, ANameStandsForAFileInEtc) {
  EXPECT_EQ(config_path("wg0"), "/etc/wireguard/wg0.conf");
  EXPECT_EQ(config_path("wg0.conf"), "wg0.conf");
  EXPECT_EQ(config_path("./wg0"), "./wg0");
}

TEST(ConfigFile, TheFilesNameIsTheInterfaces) {
  EXPECT_EQ(interface_of("/a/b/wg0.conf").value(), "wg0");
  EXPECT_EQ(interface_of("wg0.conf").value(), "wg0");
  for (const char* bad : {"/a/wg0", "/a/.conf", "/a/sixteencharacter.conf", "/a/w g.conf"}) {
    EXPECT_FALSE(interface_of(bad).has_value()) << bad;
  }
}

class ConfigOnDisk : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    std::ofstream(path_) << "[Interface]\nListenPort = 1\n";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] size_t file_count() const {
    return static_cast<size_t>(
        std::distance(std::filesystem::directory_iterator(folder_), std::filesystem::directory_iterator()));
  }

  const std::string folder_ = testing::TempDir() + "/cf" + std::to_string(getpid());
  const std::string path_ = folder_ + "/wg0.conf";
};

TEST_F(ConfigOnDisk, IsReplacedAtOnceWithItsOwnerAndMode) {
  chmod(path_.c_str(), 0640);
  EXPECT_FALSE(read_config(path_).value().readable_by_others);
  config::Config config = read_config(path_)->config;
  config.interface.listen_port = 2;
  ASSERT_TRUE(write_config(path_, config).has_value());
  EXPECT_EQ(read_config(path_).value().config, config);
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640U);
  EXPECT_EQ(file_count(), 1U) << "nothing else is left in the folder";
  chmod(path_.c_str(), 0644);
  EXPECT_TRUE(read_config(path_).value().readable_by_others);
}

TEST_F(ConfigOnDisk, IsNotMadeAgainWhereItIsGone) {
  std::filesystem::remove(path_);
  EXPECT_THAT(write_config(path_, {}).error().to_string(), HasSubstr("No such file"));
  EXPECT_EQ(file_count(), 0U);
}

TEST_F(ConfigOnDisk, ASymbolicLinkStaysOne) {
  const std::string link = folder_ + "/wg1.conf";
  std::filesystem::create_symlink("wg0.conf", link);
  config::Config config;
  config.interface.listen_port = 3;
  ASSERT_TRUE(write_config(link, config).has_value());
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(read_config(path_)->config.interface.listen_port, 3);
}

TEST_F(ConfigOnDisk, WaitsForWhoeverEditsTheFile) {
  std::optional<FileLock> lock = FileLock::take(path_).value();
  config::Config config;
  config.interface.listen_port = 4;
  std::atomic<bool> written = false;
  std::thread writer([&] {
    EXPECT_TRUE(write_config(path_, config).has_value());
    written = true;
  });
  // The other waits for the lock once the kernel says so.
  const auto waits = [&] {
    std::ifstream locks("/proc/locks");
    for (std::string line; std::getline(locks, line);) {
      if (line.find("->") != std::string::npos && line.find(std::to_string(getpid())) != std::string::npos)
        return true;
    }
    return false;
  };
  while (!waits() && !written) std::this_thread::yield();
  EXPECT_FALSE(written);
  EXPECT_EQ(read_config(path_)->config.interface.listen_port, 1);
  lock.reset();
  writer.join();
  EXPECT_EQ(read_config(path_)->config.interface.listen_port, 4);
}

TEST_F(ConfigOnDisk, AFifoIsNoConfiguration) {
  const std::string fifo = folder_ + "/wg2.conf";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(read_config(fifo).error().to_string(), HasSubstr("is no regular file"));
}

TEST(ConfigFile, SaysWhyItCannotBeReadOrWritten) {
  EXPECT_THAT(
      read_config("/nonexistent/wg0.conf").error().to_string(),
      HasSubstr("/nonexistent/wg0.conf: cannot be read: No such file or directory; remedy: check the path"));
  EXPECT_THAT(read_config("/").error().to_string(), HasSubstr("Is a directory"));
  EXPECT_THAT(write_config("/nonexistent/wg0.conf", {}).error().to_string(), HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace vpn::daemon
