#include "lab/run/pcapng.h"

#include <gtest/gtest.h>

#include <cstring>
#include <optional>

namespace lab::pcapng {
namespace {

template <typename T>
T value_at(const std::string& bytes, size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// The value of the first option `code` of those that start at `at`.
std::optional<std::string> option(const std::string& block, size_t at, uint16_t code) {
  while (at + 8 <= block.size()) {
    const auto found = value_at<uint16_t>(block, at);
    const auto length = value_at<uint16_t>(block, at + 2);
    if (found == code) return block.substr(at + 4, length);
    if (found == 0) break;
    at += 4 + (length + 3U) / 4 * 4;
  }
  return std::nullopt;
}

// Every block: its length at both ends, in whole words (draft-ietf-opsawg-pcapng, section 3.1).
void expect_framed(const std::string& block, uint32_t type) {
  ASSERT_EQ(block.size() % 4, 0u);
  EXPECT_EQ(value_at<uint32_t>(block, 0), type);
  EXPECT_EQ(value_at<uint32_t>(block, 4), block.size());
  EXPECT_EQ(value_at<uint32_t>(block, block.size() - 4), block.size());
}

TEST(Pcapng, SectionHeader) {
  const std::string block = section_header("a comment");
  expect_framed(block, 0x0A0D0D0A);
  EXPECT_EQ(value_at<uint32_t>(block, 8), 0x1A2B3C4Du);
  EXPECT_EQ(value_at<uint16_t>(block, 12), 1);
  EXPECT_EQ(value_at<int64_t>(block, 16), -1);
  EXPECT_EQ(option(block, 24, 1), "a comment");
}

TEST(Pcapng, SecretsAreOfWireGuardAndExactlyWhatWasGiven) {
  for (const std::string log : {"A=1\n", "AB=12\n", "ABC=123\n"}) {
    const std::string block = wireguard_keys(log);
    expect_framed(block, 10);
    EXPECT_EQ(value_at<uint32_t>(block, 8), 0x57474B4Cu);
    const auto length = value_at<uint32_t>(block, 12);
    EXPECT_EQ(block.substr(16, length), log);
  }
}

TEST(Pcapng, InterfaceCountsNanoseconds) {
  const std::string block = interface("left:wan", 1);
  expect_framed(block, 1);
  EXPECT_EQ(value_at<uint16_t>(block, 8), 1);
  EXPECT_EQ(option(block, 16, 2), "left:wan");
  EXPECT_EQ(option(block, 16, 9), std::string("\x09", 1));
}

TEST(Pcapng, StatisticsTellWhatIsMissing) {
  const std::string block = statistics(3, 0x0123456789ABCDEF, 77);
  expect_framed(block, 5);
  EXPECT_EQ(value_at<uint32_t>(block, 8), 3u);
  EXPECT_EQ(uint64_t{value_at<uint32_t>(block, 12)} << 32 | value_at<uint32_t>(block, 16),
            0x0123456789ABCDEFu);
  const auto dropped = option(block, 20, 5);
  ASSERT_TRUE(dropped);
  EXPECT_EQ(value_at<uint64_t>(*dropped, 0), 77u);
}

TEST(Pcapng, PacketHasItsTimeItsBytesAndItsDirection) {
  const std::vector<uint8_t> bytes = {1, 2, 3, 4, 5};
  const uint64_t time = 0x0123456789ABCDEF;
  for (const bool outgoing : {false, true}) {
    const std::string block = packet(7, time, bytes, outgoing);
    expect_framed(block, 6);
    EXPECT_EQ(value_at<uint32_t>(block, 8), 7u);
    EXPECT_EQ(uint64_t{value_at<uint32_t>(block, 12)} << 32 | value_at<uint32_t>(block, 16), time);
    EXPECT_EQ(value_at<uint32_t>(block, 20), bytes.size());
    EXPECT_EQ(value_at<uint32_t>(block, 24), bytes.size());
    EXPECT_EQ(block.substr(28, 5), std::string("\1\2\3\4\5"));
    const auto flags = option(block, 36, 2);
    ASSERT_TRUE(flags);
    EXPECT_EQ(value_at<uint32_t>(*flags, 0), outgoing ? 2u : 1u);
  }
}

}  // namespace
}  // namespace lab::pcapng
