#include "vpn/base/bytes.h"

#include <gtest/gtest.h>

namespace vpn {
namespace {

TEST(Bytes, CopyWritesTheFrontAndNothingElse) {
  const std::array<uint8_t, 3> from = {1, 2, 3};
  std::array<uint8_t, 5> to = {9, 9, 9, 9, 9};
  copy_bytes(from, to);
  EXPECT_EQ(to, (std::array<uint8_t, 5>{1, 2, 3, 9, 9}));
}

TEST(Bytes, CopyOfNothingTouchesNothing) {
  std::array<uint8_t, 2> to = {9, 9};
  copy_bytes({}, to);
  copy_bytes({}, {});
  EXPECT_EQ(to, (std::array<uint8_t, 2>{9, 9}));
}

TEST(Bytes, FixedViewIsThatPartOfTheBytes) {
  const std::array<uint8_t, 6> bytes = {0, 1, 2, 3, 4, 5};
  const auto front = fixed_view<2>(bytes);
  const auto middle = fixed_view<3>(bytes, 2);
  const auto end = fixed_view<2>(bytes, 4);
  static_assert(decltype(middle)::extent == 3);
  EXPECT_EQ(front.data(), bytes.data());
  EXPECT_EQ(middle.data(), bytes.data() + 2);
  EXPECT_EQ(end[1], 5);
}

}  // namespace
}  // namespace vpn
