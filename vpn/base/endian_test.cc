#include "vpn/base/endian.h"

#include <gtest/gtest.h>

#include <array>

namespace vpn {
namespace {

constexpr std::array<uint8_t, 9> kSample = {0xff, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x88};

TEST(Endian, LoadsLittleEndianAtAnyAlignment) {
  EXPECT_EQ(load_le<uint8_t>(kSample.data() + 1), 0x01);
  EXPECT_EQ(load_le<uint16_t>(kSample.data() + 1), 0x0201);
  EXPECT_EQ(load_le<uint32_t>(kSample.data() + 1), 0x04030201u);
  EXPECT_EQ(load_le<uint64_t>(kSample.data() + 1), 0x8807060504030201u);
  EXPECT_EQ(load_le<uint64_t>(kSample.data()), 0x07060504030201ffu);
}

TEST(Endian, LoadsBigEndianAtAnyAlignment) {
  EXPECT_EQ(load_be<uint8_t>(kSample.data() + 1), 0x01);
  EXPECT_EQ(load_be<uint16_t>(kSample.data() + 1), 0x0102);
  EXPECT_EQ(load_be<uint32_t>(kSample.data() + 1), 0x01020304u);
  EXPECT_EQ(load_be<uint64_t>(kSample.data() + 1), 0x0102030405060788u);
  EXPECT_EQ(load_be<uint64_t>(kSample.data()), 0xff01020304050607u);
}

TEST(Endian, StoresWriteTheirWidthAndNothingElse) {
  std::array<uint8_t, 6> bytes{};
  store_le(bytes.data() + 1, uint32_t{0x11223344});
  EXPECT_EQ(bytes, (std::array<uint8_t, 6>{0, 0x44, 0x33, 0x22, 0x11, 0}));
  store_be(bytes.data() + 1, uint32_t{0x11223344});
  EXPECT_EQ(bytes, (std::array<uint8_t, 6>{0, 0x11, 0x22, 0x33, 0x44, 0}));
  store_be(bytes.data() + 1, uint16_t{0xaabb});
  EXPECT_EQ(bytes, (std::array<uint8_t, 6>{0, 0xaa, 0xbb, 0x33, 0x44, 0}));
  store_le(bytes.data() + 4, uint8_t{0xcc});
  EXPECT_EQ(bytes, (std::array<uint8_t, 6>{0, 0xaa, 0xbb, 0x33, 0xcc, 0}));
}

template <typename T>
void expect_round_trip(T value) {
  std::array<uint8_t, sizeof(T)> bytes;
  store_le(bytes.data(), value);
  EXPECT_EQ(load_le<T>(bytes.data()), value);
  EXPECT_EQ(load_be<T>(bytes.data()), byte_swap(value));
  store_be(bytes.data(), value);
  EXPECT_EQ(load_be<T>(bytes.data()), value);
  EXPECT_EQ(byte_swap(byte_swap(value)), value);
}

TEST(Endian, EveryWidthSurvivesTheWayThereAndBack) {
  for (const uint64_t value : {uint64_t{0}, uint64_t{1}, uint64_t{0x8000'0000'0000'0080}, UINT64_MAX}) {
    expect_round_trip(static_cast<uint8_t>(value));
    expect_round_trip(static_cast<uint16_t>(value));
    expect_round_trip(static_cast<uint32_t>(value));
    expect_round_trip(value);
  }
}

}  // namespace
}  // namespace vpn
