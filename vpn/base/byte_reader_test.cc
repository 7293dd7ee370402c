#include "vpn/base/byte_reader.h"

#include <gtest/gtest.h>

namespace vpn {
namespace {

constexpr std::array<uint8_t, 7> kBytes = {1, 2, 3, 4, 5, 6, 7};

TEST(ByteReader, TakesFieldsInOrder) {
  ByteReader reader(kBytes);
  EXPECT_EQ(reader.take_le<uint8_t>(), 1);
  EXPECT_EQ(reader.take_le<uint16_t>(), 0x0302);
  EXPECT_EQ(reader.take_be<uint16_t>(), 0x0405);
  EXPECT_EQ(reader.remaining(), 2u);
  const auto rest = reader.take(2);
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->data(), kBytes.data() + 5);
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST(ByteReader, FieldThatIsNotAllThereConsumesNothing) {
  ByteReader reader(BytesView(kBytes).first(3));
  EXPECT_FALSE(reader.take(4));
  EXPECT_FALSE(reader.take_le<uint32_t>());
  EXPECT_FALSE(reader.take_be<uint64_t>());
  EXPECT_FALSE(reader.take(SIZE_MAX));
  EXPECT_EQ(reader.remaining(), 3u);
  EXPECT_EQ(reader.rest().data(), kBytes.data());
  EXPECT_TRUE(reader.take(3));
}

TEST(ByteReader, NothingCanBeTakenFromNothing) {
  ByteReader reader({});
  EXPECT_FALSE(reader.take(1));
  EXPECT_FALSE(reader.take_le<uint8_t>());
  const auto nothing = reader.take(0);
  ASSERT_TRUE(nothing);
  EXPECT_TRUE(nothing->empty());
}

}  // namespace
}  // namespace vpn
