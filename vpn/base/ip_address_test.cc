#include "vpn/base/ip_address.h"

#include <gtest/gtest.h>

#include <vector>

namespace vpn {
namespace {

IpAddress address(std::string_view text) {
  const auto parsed = IpAddress::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(IpAddress());
}

IpPrefix prefix(std::string_view text) {
  const auto parsed = IpPrefix::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(IpPrefix());
}

TEST(IpAddress, DefaultIsTheUnspecifiedIpv4Address) {
  EXPECT_EQ(IpAddress().to_string(), "0.0.0.0");
  EXPECT_EQ(IpAddress(), IpAddress::ipv4(0, 0, 0, 0));
}

TEST(IpAddress, ParsesAndPrintsBothFamilies) {
  EXPECT_EQ(address("192.0.2.1"), IpAddress::ipv4(192, 0, 2, 1));
  EXPECT_EQ(address("192.0.2.1").to_string(), "192.0.2.1");
  EXPECT_EQ(address("192.0.2.1").bytes().size(), 4u);
  EXPECT_EQ(address("192.0.2.1").bit_count(), 32u);
  EXPECT_EQ(address("2001:DB8:0::1").to_string(), "2001:db8::1");
  EXPECT_EQ(address("::").to_string(), "::");
  EXPECT_EQ(address("::ffff:1.2.3.4").family(), IpFamily::kIpv6);
  EXPECT_EQ(address("2001:db8::1").bytes().size(), 16u);
  EXPECT_EQ(address("2001:db8::1").bytes()[1], 0x01);
  EXPECT_EQ(address("2001:db8::1").bit_count(), 128u);
}

TEST(IpAddress, RefusesWhatIsNotExactlyAnAddress) {
  using namespace std::string_view_literals;
  for (const std::string_view text :
       {""sv,          " "sv,         "1.2.3"sv,       "1.2.3.4.5"sv,     "256.0.0.1"sv,
        "1.2.3.4 "sv,  " 1.2.3.4"sv,  "1.2.3.4/8"sv,   "-1.2.3.4"sv,      "01.2.3.4"sv,
        "0x1.2.3.4"sv, "1.2.3.4\0"sv, "1.2.3.4\0.5"sv, "::1%eth0"sv,      "[::1]"sv,
        ":::"sv,       "1::2::3"sv,   "12345::"sv,     "1:2:3:4:5:6:7"sv, "1:2:3:4:5:6:7:8:9"sv,
        "localhost"sv}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
}

TEST(IpAddress, SameBytesOfDifferentFamiliesDiffer) {
  EXPECT_NE(address("0.0.0.0"), address("::"));
  EXPECT_NE(address("1.2.3.4"), address("102:304::"));
}

TEST(IpAddress, BitsCountFromTheMostSignificant) {
  const IpAddress ipv4 = address("128.0.0.1");
  EXPECT_TRUE(ipv4.bit(0));
  EXPECT_FALSE(ipv4.bit(1));
  EXPECT_FALSE(ipv4.bit(30));
  EXPECT_TRUE(ipv4.bit(31));
  EXPECT_TRUE(address("::1").bit(127));
  EXPECT_FALSE(address("::1").bit(126));
}

TEST(IpAddress, MaskingKeepsExactlyTheFirstBits) {
  for (const std::string_view text : {"255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}) {
    const IpAddress ones = address(text);
    for (unsigned length = 0; length <= ones.bit_count(); ++length) {
      const IpAddress masked = ones.masked(length);
      EXPECT_EQ(masked.family(), ones.family());
      for (unsigned bit = 0; bit < ones.bit_count(); ++bit) {
        ASSERT_EQ(masked.bit(bit), bit < length) << text << " /" << length << " bit " << bit;
      }
    }
    EXPECT_EQ(ones.masked(ones.bit_count() + 1), ones);
  }
}

// R4: CIDR normalisation.
TEST(IpPrefix, NormalizedClearsTheHostBits) {
  EXPECT_EQ(prefix("10.0.0.5/16").to_string(), "10.0.0.5/16");
  EXPECT_EQ(prefix("10.0.0.5/16").normalized().to_string(), "10.0.0.0/16");
  EXPECT_EQ(prefix("2001:db8::5/32").normalized().to_string(), "2001:db8::/32");
  EXPECT_EQ(prefix("10.0.0.5/0").normalized().to_string(), "0.0.0.0/0");
  EXPECT_EQ(prefix("10.0.0.5/32").normalized().to_string(), "10.0.0.5/32");
}

TEST(IpPrefix, BareAddressIsItsWholeLength) {
  EXPECT_EQ(prefix("10.0.0.5").length, 32);
  EXPECT_EQ(prefix("fd00::1").length, 128);
}

TEST(IpPrefix, RefusesWhatIsNotExactlyAPrefix) {
  for (const std::string_view text :
       {"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/ 8", "10.0.0.0/8 ",
        "10.0.0.0/8/8", "10.0.0.0/255.0.0.0", "10.0.0.0/4294967304", "fd00::/129", "10.0.0/8", "fd00::/8x"}) {
    EXPECT_FALSE(IpPrefix::parse(text)) << text;
  }
}

TEST(IpPrefix, ContainsItsOwnFamilyOnly) {
  EXPECT_TRUE(prefix("10.0.0.5/8").contains(address("10.255.0.1")));
  EXPECT_FALSE(prefix("10.0.0.5/8").contains(address("11.0.0.1")));
  EXPECT_TRUE(prefix("0.0.0.0/0").contains(address("255.255.255.255")));
  EXPECT_FALSE(prefix("0.0.0.0/0").contains(address("::")));
  EXPECT_FALSE(prefix("::/0").contains(address("0.0.0.0")));
  EXPECT_TRUE(prefix("fd00::/8").contains(address("fdff::1")));
  EXPECT_FALSE(prefix("fd00::1").contains(address("fd00::2")));
}

TEST(UdpAddress, ParsesAndPrintsBothFamilies) {
  for (const std::string_view text :
       {"192.0.2.1:51820", "0.0.0.0:0", "[2001:db8::1]:51820", "[fe80::1%7]:65535"}) {
    const auto parsed = UdpAddress::parse(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->to_string(), text);
  }
  const auto scoped = UdpAddress::parse("[fe80::1%7]:9");
  ASSERT_TRUE(scoped);
  EXPECT_EQ(scoped->address, address("fe80::1"));
  EXPECT_EQ(scoped->port, 9);
  EXPECT_EQ(scoped->scope_id, 7u);
}

TEST(UdpAddress, RefusesWhatIsNotExactlyAnEndpoint) {
  for (const std::string_view text : {"",
                                      ":",
                                      ":1",
                                      "192.0.2.1",
                                      "192.0.2.1:",
                                      "192.0.2.1:65536",
                                      "192.0.2.1:-1",
                                      "192.0.2.1:+1",
                                      "192.0.2.1: 1",
                                      "192.0.2.1:1 ",
                                      "[192.0.2.1]:1",
                                      "2001:db8::1:51820",
                                      "[2001:db8::1]",
                                      "[2001:db8::1:1",
                                      "2001:db8::1]:1",
                                      "[]:1",
                                      "[fe80::1%]:1",
                                      "[fe80::1%eth0]:1",
                                      "[fe80::1%4294967296]:1",
                                      "192.0.2.1%1:1",
                                      "example.org:1"}) {
    EXPECT_FALSE(UdpAddress::parse(text)) << text;
  }
}

TEST(UdpAddress, DiffersByEachOfItsParts) {
  const UdpAddress base = {address("fe80::1"), 1, 1};
  EXPECT_EQ(base, (UdpAddress{address("fe80::1"), 1, 1}));
  EXPECT_NE(base, (UdpAddress{address("fe80::2"), 1, 1}));
  EXPECT_NE(base, (UdpAddress{address("fe80::1"), 2, 1}));
  EXPECT_NE(base, (UdpAddress{address("fe80::1"), 1, 2}));
}

}  // namespace
}  // namespace vpn
