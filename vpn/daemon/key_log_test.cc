#include "vpn/daemon/key_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace vpn::daemon {
namespace {

using ::testing::HasSubstr;

class KeyLogTest : public ::testing::Test {
 protected:
  KeyLogTest() {
    std::string pattern = ::testing::TempDir() + "key_log.XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~KeyLogTest() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path() const { return folder_ / "keys"; }
  [[nodiscard]] std::string content() const {
    std::ifstream stream(path());
    return {std::istreambuf_iterator<char>(stream), {}};
  }

 private:
  std::filesystem::path folder_;
};

Secret<32> key_of(uint8_t byte) {
  Secret<32> key;
  for (uint8_t& one : key.mutable_view()) one = byte;
  return key;
}

TEST_F(KeyLogTest, WritesWhatWiresharkReads) {
  auto log = KeyLog::open(path());
  ASSERT_TRUE(log);
  PublicKey peer;
  peer.bytes.fill(2);
  EXPECT_TRUE(log->add(key_of(1), peer, key_of(3), key_of(4)));
  EXPECT_EQ(content(),
            "LOCAL_STATIC_PRIVATE_KEY=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"
            "REMOTE_STATIC_PUBLIC_KEY=AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n"
            "LOCAL_EPHEMERAL_PRIVATE_KEY=AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\n"
            "PRESHARED_KEY=BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=\n");
}

TEST_F(KeyLogTest, LeavesOutAPresharedKeyThatIsNone) {
  auto log = KeyLog::open(path());
  ASSERT_TRUE(log);
  EXPECT_TRUE(log->add(key_of(1), PublicKey{}, key_of(3), Secret<32>{}));
  EXPECT_THAT(content(), ::testing::Not(HasSubstr("PRESHARED")));
}

TEST_F(KeyLogTest, IsMadeForItsOwnerAloneAndAppendedTo) {
  const mode_t before = umask(0);
  for (int i = 0; i < 2; ++i) {
    auto log = KeyLog::open(path());
    ASSERT_TRUE(log);
    EXPECT_TRUE(log->add(key_of(1), PublicKey{}, key_of(3), Secret<32>{}));
  }
  umask(before);
  struct stat status {};
  ASSERT_EQ(stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const std::string text = content();
  EXPECT_NE(text.find("LOCAL_STATIC"), text.rfind("LOCAL_STATIC"));
}

TEST_F(KeyLogTest, RefusesWhatOthersMayReadAndWhatIsNoFile) {
  std::ofstream(path()).close();
  ASSERT_EQ(chmod(path().c_str(), 0640), 0);
  const auto readable = KeyLog::open(path());
  ASSERT_FALSE(readable);
  EXPECT_THAT(readable.error().to_string(), HasSubstr("others may read it"));
  std::filesystem::remove(path());
  ASSERT_EQ(symlink("/dev/null", path().c_str()), 0);
  EXPECT_FALSE(KeyLog::open(path()));
  const auto device = KeyLog::open("/dev/null");
  ASSERT_FALSE(device);
  EXPECT_THAT(device.error().to_string(), HasSubstr("not a regular file"));
  EXPECT_FALSE(KeyLog::open(path() + "/nowhere/keys"));
}

}  // namespace
}  // namespace vpn::daemon
