#include "vpn/wire/messages.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace vpn::wire {
namespace {

std::vector<uint8_t> numbered_bytes(size_t size, uint8_t type) {
  std::vector<uint8_t> bytes(size);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  for (size_t index = 0; index < std::min<size_t>(size, 4); ++index) bytes[index] = index == 0 ? type : 0;
  return bytes;
}

// Every length from 0 to well past the longest fixed message, for every type byte around the valid ones.
TEST(Parse, AcceptsExactlyTheRightLengths) {
  for (unsigned type = 0; type < 256; ++type) {
    for (size_t size = 0; size <= 200; ++size) {
      const auto parsed = parse(numbered_bytes(size, static_cast<uint8_t>(type)));
      const bool right = (type == 1 && size == 148) || (type == 2 && size == 92) ||
                         (type == 3 && size == 64) || (type == 4 && size >= 32);
      ASSERT_EQ(parsed.has_value(), right) << "type " << type << " size " << size;
      if (right) continue;
      const bool known = type >= 1 && type <= 4 && size >= 4;
      EXPECT_EQ(parsed.error(), known ? ParseError::kBadLength : ParseError::kUnknownType);
    }
  }
}

TEST(Parse, RefusesNonZeroReservedBytes) {
  for (size_t reserved = 1; reserved <= 3; ++reserved) {
    std::vector<uint8_t> bytes = numbered_bytes(148, 1);
    bytes[reserved] = 1;
    EXPECT_EQ(parse(bytes).error(), ParseError::kUnknownType);
  }
}

TEST(Parse, FieldsLieWhereTheLayoutSays) {
  const std::vector<uint8_t> initiation_bytes = numbered_bytes(148, 1);
  const auto message = *parse(initiation_bytes);
  const auto& initiation = std::get<Initiation>(message);
  EXPECT_EQ(initiation.sender.value, 0x07060504u);
  EXPECT_EQ(initiation.ephemeral[0], 8);
  EXPECT_EQ(initiation.sealed_static[0], 40);
  EXPECT_EQ(initiation.sealed_timestamp[0], 88);
  EXPECT_EQ(initiation.mac1[0], 116);
  EXPECT_EQ(initiation.mac2[0], 132);

  const std::vector<uint8_t> response_bytes = numbered_bytes(92, 2);
  const auto response_message = *parse(response_bytes);
  const auto& response = std::get<Response>(response_message);
  EXPECT_EQ(response.sender.value, 0x07060504u);
  EXPECT_EQ(response.receiver.value, 0x0b0a0908u);
  EXPECT_EQ(response.ephemeral[0], 12);
  EXPECT_EQ(response.sealed_empty[0], 44);
  EXPECT_EQ(response.mac1[0], 60);
  EXPECT_EQ(response.mac2[0], 76);

  const std::vector<uint8_t> cookie_bytes = numbered_bytes(64, 3);
  const auto cookie_message = *parse(cookie_bytes);
  const auto& cookie = std::get<CookieReply>(cookie_message);
  EXPECT_EQ(cookie.receiver.value, 0x07060504u);
  EXPECT_EQ(cookie.nonce[0], 8);
  EXPECT_EQ(cookie.sealed_cookie[0], 32);

  const std::vector<uint8_t> data_bytes = numbered_bytes(80, 4);
  const auto data_message = *parse(data_bytes);
  const auto& data = std::get<Data>(data_message);
  EXPECT_EQ(data.receiver.value, 0x07060504u);
  EXPECT_EQ(data.counter, 0x0f0e0d0c0b0a0908u);
  EXPECT_EQ(data.sealed.size(), 64u);
  EXPECT_EQ(data.sealed[0], 16);
}

TEST(Encode, UndoesParse) {
  for (const auto& [type, size] :
       std::vector<std::pair<uint8_t, size_t>>{{1, 148}, {2, 92}, {3, 64}, {4, 32}, {4, 1452}}) {
    const std::vector<uint8_t> bytes = numbered_bytes(size, type);
    const auto message = *parse(bytes);
    ASSERT_EQ(encoded_bytes(message), size);
    std::vector<uint8_t> encoded(size, 0xff);
    encode(message, encoded);
    EXPECT_EQ(encoded, bytes);
  }
}

TEST(MacCoverage, EndsBeforeEachMac) {
  const std::vector<uint8_t> bytes = numbered_bytes(148, 1);
  EXPECT_EQ(mac1_covered(bytes).size(), 116u);
  EXPECT_EQ(mac2_covered(bytes).size(), 132u);
}

}  // namespace
}  // namespace vpn::wire
