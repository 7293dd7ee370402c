#include "vpn/traffic/statistics.h"

#include <gtest/gtest.h>

namespace vpn::traffic {
namespace {

TEST(StatisticsTest, MedianOfOddAndEvenCountsWhateverTheOrder) {
  EXPECT_DOUBLE_EQ(spread_of({9, 1, 5})->median, 5);
  EXPECT_DOUBLE_EQ(spread_of({8, 1, 2, 4})->median, 3);
}

TEST(StatisticsTest, SpreadIsLowestAndHighest) {
  const auto spread = spread_of({3, -2, 7.5, 4});
  EXPECT_DOUBLE_EQ(spread->lowest, -2);
  EXPECT_DOUBLE_EQ(spread->highest, 7.5);
}

TEST(StatisticsTest, QuantilesInterpolateBetweenNeighbours) {
  const std::vector<double> samples = {10, 20, 30, 40, 50};
  EXPECT_DOUBLE_EQ(*quantile(samples, 0), 10);
  EXPECT_DOUBLE_EQ(*quantile(samples, 0.5), 30);
  EXPECT_DOUBLE_EQ(*quantile(samples, 0.9), 46);
  EXPECT_DOUBLE_EQ(*quantile(samples, 1), 50);
}

TEST(StatisticsTest, NothingMeasuredHasNoFigures) {
  EXPECT_FALSE(quantile({}, 0.5));
  EXPECT_FALSE(spread_of({}));
  EXPECT_FALSE(ratio(std::nullopt, Spread{1, 1, 1}));
  EXPECT_FALSE(ratio(Spread{1, 1, 1}, std::nullopt));
}

TEST(StatisticsTest, RatioIsOfMediansAndNeverByZero) {
  EXPECT_DOUBLE_EQ(*ratio(Spread{6, 1, 100}, Spread{2, 0, 50}), 3);
  EXPECT_FALSE(ratio(Spread{6, 6, 6}, Spread{0, 0, 0}));
}

}  // namespace
}  // namespace vpn::traffic
