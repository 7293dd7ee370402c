#include "vpn/daemon/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

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

TEST(ConfigFile, IsReplacedAtomicallyAndReadableByItsOwnerAlone) {
  const std::string path = testing::TempDir() + "/cf" + std::to_string(getpid()) + ".conf";
  std::ofstream(path) << "[Interface]\nListenPort = 1\n";
  chmod(path.c_str(), 0644);
  EXPECT_TRUE(read_config(path).value().readable_by_others);
  config::Config config = read_config(path)->config;
  config.interface.listen_port = 2;
  ASSERT_TRUE(write_config(path, config).has_value());
  EXPECT_EQ(read_config(path).value().config, config);
  EXPECT_FALSE(read_config(path)->readable_by_others);
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
  std::filesystem::remove(path);
}

TEST(ConfigFile, SaysWhyItCannotBeReadOrWritten) {
  EXPECT_THAT(
      read_config("/nonexistent/wg0.conf").error().to_string(),
      HasSubstr("/nonexistent/wg0.conf: cannot be read: No such file or directory; remedy: check the path"));
  EXPECT_THAT(read_config("/").error().to_string(), HasSubstr("Is a directory"));
  EXPECT_THAT(write_config("/nonexistent/wg0.conf", {}).error().to_string(), HasSubstr("cannot be written"));
}

}  // namespace
}  // namespace vpn::daemon
