#include "vpn/host/journal.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace vpn::host {
namespace {

const HostChange kRoute = AddRoute{*IpPrefix::parse("0.0.0.0/0"), 51820, RouteKind::kUnreachable};

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "vpn-journal-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ / "wg0.journal";
  }
  ~JournalTest() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] Result<Journal, Error> open() const {
    return Journal::open_file(path_, "wg0", std::chrono::milliseconds(0));
  }
  static uint64_t announce(Journal& journal, const HostChange& change) {
    std::vector<JournalEntry> entries{{0, change, ""}};
    EXPECT_TRUE(journal.announce(entries).has_value());
    return entries.front().id;
  }
  [[nodiscard]] size_t line_count() const {
    std::ifstream file(path_);
    size_t count = 0;
    for (std::string line; std::getline(file, line);) ++count;
    return count;
  }

  std::filesystem::path folder_, path_;
};

// A peer that moves all the time, on a gateway that runs for years.
TEST_F(JournalTest, HoldsNoMoreThanStandsHoweverOftenItChanged) {
  uint64_t first = 0;
  uint64_t last = 0;
  {
    auto journal = open();
    ASSERT_TRUE(journal.has_value());
    first = announce(*journal, SetSysctl{"net/ipv4/ip_forward", "1"});
    last = announce(*journal, kRoute);
    for (int round = 0; round < 300; ++round) {
      const uint64_t next = announce(*journal, kRoute);
      journal->note_undone(last);
      last = next;
      journal->note_addresses({{"vpn.example.org:1", "192.0.2.1:" + std::to_string(round)},
                               {"other.example.org:1", "192.0.2.2:1"}});
    }
    EXPECT_LT(line_count(), 300U);
    EXPECT_FALSE(open().has_value()) << "the lock went over to the new file";
  }
  auto again = open();
  ASSERT_TRUE(again.has_value());
  const std::vector<JournalEntry> standing{{first, SetSysctl{"net/ipv4/ip_forward", "1"}, ""},
                                           {last, kRoute, ""}};
  EXPECT_EQ(again->found(), standing);
  EXPECT_EQ(again->addresses().at("vpn.example.org:1"), "192.0.2.1:299");
  EXPECT_EQ(again->addresses().at("other.example.org:1"), "192.0.2.2:1");
  again->remove();
  EXPECT_FALSE(std::filesystem::exists(folder_)) << "the last one takes it along";
}

// No file of this process grows beyond this, as if the disk were full; until it is gone.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, signal_before_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  void (*signal_before_)(int) = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before_{};
};

TEST_F(JournalTest, WhatAFullDiskCutOffLeavesNothingBehind) {
  {
    auto journal = open();
    ASSERT_TRUE(journal.has_value());
    announce(*journal, kRoute);
    std::vector<JournalEntry> entries{{0, SetSysctl{"net/ipv4/ip_forward", "1"}, ""}};
    {
      const FullDisk full(std::filesystem::file_size(path_) + 10);
      const bool announced = journal->announce(entries).has_value();
      ASSERT_FALSE(announced);
    }
    announce(*journal, SetDns{});
    for (int round = 0; round < 300; ++round) journal->note_addresses({{"a:1", std::to_string(round)}});
    EXPECT_LT(line_count(), 300U) << "the file was made anew, of what was announced";
  }
  const auto again = open();
  ASSERT_TRUE(again.has_value());
  ASSERT_EQ(again->found().size(), 2U);
  EXPECT_EQ(again->found()[0].change, kRoute);
  EXPECT_EQ(again->found()[1].change, HostChange(SetDns{}));
}

// A crash while the replacement is written leaves the journal as it was.
TEST_F(JournalTest, AHalfWrittenReplacementIsNotTakenForTheJournal) {
  {
    auto journal = open();
    ASSERT_TRUE(journal.has_value());
    announce(*journal, kRoute);
  }
  std::ofstream(path_.string() + ".new") << "{\"interfa";
  auto journal = open();
  ASSERT_TRUE(journal.has_value());
  EXPECT_EQ(journal->found().size(), 1U);
  journal->remove();
  EXPECT_FALSE(std::filesystem::exists(folder_)) << "the last one takes it along";
}

}  // namespace
}  // namespace vpn::host
