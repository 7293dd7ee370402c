#include "vpn/config/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vpn::config {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

TEST(Text, SplitsListsAtCommasAndBlanks) {
  EXPECT_THAT(split_list("a, b,c  d"), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(split_list(" , ,"), ElementsAre());
}

TEST(Text, ReadsNumbers) {
  EXPECT_EQ(parse_number("0x10", 100), 16u);
  EXPECT_EQ(parse_number("65535", 65535), 65535u);
  for (const char* bad : {"", "65536", "-1", "+1", " 1", "1 ", "0x", "1e3", "99999999999999999999"}) {
    EXPECT_EQ(parse_number(bad, 65535), std::nullopt) << bad;
  }
}

TEST(Text, ReadsAmountsOfData) {
  EXPECT_EQ(parse_byte_count("64MB"), 64'000'000u);
  EXPECT_EQ(parse_byte_count("64 MB"), std::nullopt);
  EXPECT_EQ(parse_byte_count("64MiB"), 64u << 20);
  EXPECT_EQ(parse_byte_count("2g"), 2'000'000'000u);
  EXPECT_EQ(parse_byte_count("10B"), 10u);
  EXPECT_EQ(parse_byte_count("1kb"), 1000u);
  EXPECT_EQ(parse_byte_count("99999999T"), std::nullopt) << "past 64 bits";
  EXPECT_EQ(parse_byte_count("1KX"), std::nullopt);
}

TEST(Text, ReadsTimes) {
  EXPECT_EQ(parse_seconds("90"), seconds(90));
  EXPECT_EQ(parse_seconds("2m"), seconds(120));
  EXPECT_EQ(parse_seconds("2h"), seconds(7200));
  EXPECT_EQ(parse_seconds("2d"), std::nullopt);
  EXPECT_EQ(parse_seconds(""), std::nullopt);
}

TEST(Text, KeysSurviveBase64AndHex) {
  Secret<32> key;
  for (uint8_t index = 0; index < 32; ++index) key.mutable_view()[index] = static_cast<uint8_t>(7 * index);
  EXPECT_EQ(key_from_base64(to_base64(key.view())), key);
  EXPECT_EQ(key_from_hex(to_hex(key.view())), key);
  EXPECT_EQ(to_base64(Secret<32>{}.view()), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
}

// libsodium takes some bytes above 127 for letters of base64; the fuzzer of configurations found a key of
// such.
TEST(Text, TakesKeysOfTheAlphabetsLettersOnly) {
  const std::string_view base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string_view hex = "0123456789abcdefABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    const char letter = static_cast<char>(byte);
    std::string in_base64 = to_base64(Secret<32>{}.view());
    in_base64[5] = letter;
    EXPECT_EQ(key_from_base64(in_base64).has_value(), base64.find(letter) != std::string_view::npos) << byte;
    std::string in_hex(64, '0');
    in_hex[5] = letter;
    EXPECT_EQ(key_from_hex(in_hex).has_value(), hex.find(letter) != std::string_view::npos) << byte;
  }
}

TEST(Text, RefusesKeysThatAreNotCanonical) {
  for (const char* bad :
       {"", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA!="}) {
    EXPECT_EQ(key_from_base64(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(key_from_hex(std::string(63, 'a')), std::nullopt);
  EXPECT_EQ(key_from_hex(std::string(65, 'a')), std::nullopt);
  EXPECT_EQ(key_from_hex(std::string(64, 'g')), std::nullopt);
}

TEST(Text, KnowsInterfaceNames) {
  EXPECT_TRUE(is_interface_name("wg0"));
  EXPECT_TRUE(is_interface_name("a_=+.-Z9"));
  for (const char* bad : {"", ".", "..", "a/b", "a b", "sixteencharacter", "w\n"}) {
    EXPECT_FALSE(is_interface_name(bad)) << bad;
  }
}

}  // namespace
}  // namespace vpn::config
