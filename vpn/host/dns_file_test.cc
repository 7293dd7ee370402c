#include "vpn/host/dns_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace vpn::host {
namespace {

class DnsFileTest : public testing::Test {
 protected:
  DnsFileTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "vpn-dns-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ / "resolv.conf";
    std::ofstream(path_) << kFormer;
  }
  ~DnsFileTest() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] DnsFile file() const { return DnsFile("wg0", path_); }
  // Without the first line, which says whose it is.
  [[nodiscard]] std::string body() const {
    const std::string all = text();
    return all.substr(all.find('\n') + 1);
  }
  [[nodiscard]] std::string text() const {
    std::ostringstream text;
    text << std::ifstream(path_).rdbuf();
    return text.str();
  }
  static SetDns dns(const char* server) { return {{*IpAddress::parse(server)}, {}, true}; }

  static constexpr char kFormer[] = "nameserver 192.0.2.1\nsearch lan.example\noptions timeout:1";
  std::filesystem::path folder_, path_;
};

TEST_F(DnsFileTest, SearchDomainsAloneLeaveTheServers) {
  const std::string kept = std::string(kFormer) + "\nsearch corp.example\n";
  const SetDns domains{{}, {"corp.example"}, false};
  ASSERT_TRUE(file().replace(domains).has_value());
  EXPECT_EQ(body(), kept);
  ASSERT_TRUE(file().replace(dns("198.51.100.1")).has_value());
  EXPECT_EQ(body(), "nameserver 198.51.100.1\n");
  ASSERT_TRUE(file().replace(domains).has_value());
  EXPECT_EQ(body(), kept) << "those from before the tunnel, not the tunnel's";
  EXPECT_TRUE(file().restore().value_or(false));
  EXPECT_EQ(text(), kFormer);
}

// A full disk is one of the reasons; here a folder is where the new file is written.
TEST_F(DnsFileTest, AChangeThatFailsLeavesWhatWasThereBeforeIt) {
  const std::filesystem::path obstacle = path_.string() + ".new-wg0";
  std::filesystem::create_directory(obstacle);
  EXPECT_FALSE(file().replace(dns("198.51.100.1")).has_value());
  EXPECT_EQ(text(), kFormer);
  EXPECT_FALSE(file().is_replaced());
  std::filesystem::remove(obstacle);
  ASSERT_TRUE(file().replace(dns("198.51.100.1")).has_value());
  std::filesystem::create_directory(obstacle);
  EXPECT_FALSE(file().replace(dns("198.51.100.2")).has_value());
  EXPECT_EQ(body(), "nameserver 198.51.100.1\n") << "the tunnel stands, and so do its servers";
  std::filesystem::remove(obstacle);
  EXPECT_TRUE(file().restore().value_or(false));
  EXPECT_EQ(text(), kFormer);
}

}  // namespace
}  // namespace vpn::host
