#include "vpn/core/prefix_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace vpn::core {
namespace {

IpPrefix prefix(const char* text) {
  return *IpPrefix::parse(text);
}
IpAddress address(const char* text) {
  return *IpAddress::parse(text);
}

TEST(PrefixTable, LongestPrefixWins) {
  PrefixTable table;
  table.insert(prefix("0.0.0.0/0"), PeerId{1});
  table.insert(prefix("10.0.0.0/8"), PeerId{2});
  table.insert(prefix("10.1.0.0/16"), PeerId{3});
  table.insert(prefix("10.1.2.3/32"), PeerId{4});
  table.insert(prefix("::/0"), PeerId{5});
  table.insert(prefix("fd00::/8"), PeerId{6});
  EXPECT_EQ(table.find(address("192.0.2.1")), PeerId{1});
  EXPECT_EQ(table.find(address("10.9.9.9")), PeerId{2});
  EXPECT_EQ(table.find(address("10.1.2.4")), PeerId{3});
  EXPECT_EQ(table.find(address("10.1.2.3")), PeerId{4});
  EXPECT_EQ(table.find(address("2001:db8::1")), PeerId{5});
  EXPECT_EQ(table.find(address("fd12::1")), PeerId{6});
  EXPECT_EQ(table.size(), 6u);
}

// R4: host bits are cleared.
TEST(PrefixTable, HostBitsDoNotMatter) {
  PrefixTable table;
  table.insert(prefix("10.0.0.5/16"), PeerId{1});
  EXPECT_EQ(table.find(address("10.0.99.1")), PeerId{1});
  EXPECT_TRUE(table.remove(prefix("10.0.7.7/16"), PeerId{1}));
  EXPECT_EQ(table.find(address("10.0.99.1")), std::nullopt);
}

TEST(PrefixTable, InsertMovesAPrefixBetweenPeers) {
  PrefixTable table;
  EXPECT_EQ(table.insert(prefix("10.0.0.0/8"), PeerId{1}), std::nullopt);
  EXPECT_EQ(table.insert(prefix("10.0.0.0/8"), PeerId{2}), PeerId{1});
  EXPECT_EQ(table.find(address("10.0.0.1")), PeerId{2});
  EXPECT_FALSE(table.remove(prefix("10.0.0.0/8"), PeerId{1}));
  EXPECT_EQ(table.size(), 1u);
}

// A naive table: every prefix is looked at.
class NaiveTable {
 public:
  std::optional<PeerId> insert(const IpPrefix& raw, PeerId owner) {
    const auto [entry, added] = owners_.try_emplace(raw.normalized(), owner);
    if (added || entry->second == owner) return std::nullopt;
    return std::exchange(entry->second, owner);
  }
  bool remove(const IpPrefix& raw, PeerId owner) {
    const auto entry = owners_.find(raw.normalized());
    if (entry == owners_.end() || entry->second != owner) return false;
    owners_.erase(entry);
    return true;
  }
  [[nodiscard]] std::optional<PeerId> find(const IpAddress& wanted) const {
    std::optional<PeerId> best;
    int best_length = -1;
    for (const auto& [candidate, owner] : owners_) {
      if (!candidate.contains(wanted) || candidate.length <= best_length) continue;
      best = owner;
      best_length = candidate.length;
    }
    return best;
  }
  [[nodiscard]] size_t size() const { return owners_.size(); }

 private:
  std::map<IpPrefix, PeerId> owners_;
};

TEST(PrefixTable, AgreesWithANaiveOracle) {
  std::mt19937_64 random(20240608);
  // Few distinct bits, so that prefixes nest, collide and fork often.
  const auto random_address = [&random] {
    std::array<uint8_t, 16> bytes{};
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() & random() & random());
    return random() % 2 == 0 ? IpAddress::ipv4(std::span(bytes).first<4>()) : IpAddress::ipv6(bytes);
  };
  for (int round = 0; round < 20; ++round) {
    PrefixTable table;
    NaiveTable naive;
    std::vector<std::pair<IpPrefix, PeerId>> present;
    for (int step = 0; step < 1500; ++step) {
      const IpAddress base = random_address();
      const IpPrefix candidate{base, static_cast<uint8_t>(random() % (base.bit_count() + 1))};
      const PeerId owner{static_cast<uint32_t>(random() % 8)};
      if (random() % 3 != 0 || present.empty()) {
        ASSERT_EQ(table.insert(candidate, owner), naive.insert(candidate, owner));
        present.emplace_back(candidate, owner);
      } else {
        const auto& [old, old_owner] = present[random() % present.size()];
        ASSERT_EQ(table.remove(old, old_owner), naive.remove(old, old_owner));
      }
      ASSERT_EQ(table.size(), naive.size());
      const IpAddress wanted = random_address();
      ASSERT_EQ(table.find(wanted), naive.find(wanted)) << wanted.to_string();
    }
    for (const auto& [candidate, owner] : present)
      ASSERT_EQ(table.remove(candidate, owner), naive.remove(candidate, owner));
  }
}

}  // namespace
}  // namespace vpn::core
