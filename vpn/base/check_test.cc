#include "vpn/base/check.h"

#include <gtest/gtest.h>

namespace vpn {
namespace {

TEST(CheckDeathTest, BrokenInvariantSaysWhereAndEndsTheProcess) {
  const int two = 2;
  EXPECT_DEATH(VPN_CHECK(two == 3), "check_test.cc:[0-9]+: invariant broken: two == 3");
}

TEST(Check, HeldInvariantIsEvaluatedOnce) {
  int evaluations = 0;
  VPN_CHECK(++evaluations == 1);
  EXPECT_EQ(evaluations, 1);
}

}  // namespace
}  // namespace vpn
