#include "vpn/host/journal_text.h"

#include <gtest/gtest.h>

namespace vpn::host {
namespace {

const std::string kHeader = journal_header("wg0", 7);

Result<JournalContents, Error> read(const std::string& lines) {
  return read_journal(kHeader + lines, "wg0.journal", 7);
}

TEST(JournalText, WhatIsUndoneStandsNoMore) {
  const JournalEntry route{1, AddRoute{*IpPrefix::parse("0.0.0.0/0"), 51820, RouteKind::kUnreachable}, ""};
  const JournalEntry sysctl{2, SetSysctl{"net/ipv4/ip_forward", "1"}, "0"};
  const auto contents = read(announcement_line(route) + announcement_line(sysctl) + undone_line(1) +
                             address_line("vpn.example.org:1", "192.0.2.1:1"));
  ASSERT_TRUE(contents.has_value());
  EXPECT_EQ(contents->standing, std::vector{sysctl});
  EXPECT_EQ(contents->addresses.at("vpn.example.org:1"), "192.0.2.1:1");
  EXPECT_EQ(contents->last_id, 2U);
}

TEST(JournalText, ARouteIntoAnotherTunnelIsUndoneThere) {
  const JournalEntry entry{1, AddRoute{*IpPrefix::parse("10.50.0.0/16"), 51820, RouteKind::kTunnel, 0, 7},
                           ""};
  EXPECT_EQ(read(announcement_line(entry))->standing, std::vector{entry});
}

// Such a kind was taken for an index of the names of kinds when the route was to be removed.
TEST(JournalText, ANumberOutsideItsRangeIsDamage) {
  const std::string route =
      R"({"destination":"10.0.0.0/8","former":"","id":1,"kind":"route","route":ROUTE,"table":TABLE})";
  const auto with = [&](const std::string& kind, const std::string& table) {
    std::string line = route;
    line.replace(line.find("ROUTE"), 5, kind).replace(line.find("TABLE"), 5, table);
    return read(line + "\n");
  };
  EXPECT_TRUE(with("2", "4294967295").has_value());
  for (const char* kind : {"3", "77", "-1", "1.5"}) EXPECT_EQ(with(kind, "254").error().line, 2) << kind;
  for (const char* table : {"4294967296", "-1", "1e300"})
    EXPECT_EQ(with("0", table).error().line, 2) << table;
}

// The JSON library throws at such text; nothing caught that.
TEST(JournalText, TextThatIsNoUtf8IsWrittenAllTheSame) {
  const std::string line = address_line("caf\xe9.example:1", "192.0.2.1:1");
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_TRUE(read(line + announcement_line({1, SetSysctl{"net/x", "1"}, "\xff"})).has_value());
}

TEST(JournalText, TheFirstLineNamesTheNamespace) {
  EXPECT_EQ(network_namespace_of(kHeader + "rubbish\n"), 7U);
  for (const char* text : {"", "\n", "rubbish\n", "[]\n", "7\n", "{}\n", R"({"network_namespace":-1})"})
    EXPECT_EQ(network_namespace_of(text), std::nullopt) << text;
}

TEST(JournalText, AnotherNamespacesIsRefused) {
  const auto other = read_journal(journal_header("wg0", 8), "wg0.journal", 7);
  ASSERT_FALSE(other.has_value());
  EXPECT_NE(other.error().problem.find("network namespace"), std::string::npos);
}

}  // namespace
}  // namespace vpn::host
