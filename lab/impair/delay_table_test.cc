#include "lab/impair/delay_table.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace lab {
namespace {

using std::chrono::milliseconds;

Impairment weather(double reorder, Duration hold, Duration jitter) {
  Impairment impairment;
  impairment.delay = milliseconds(20);
  impairment.reorder = reorder;
  impairment.reorder_hold = hold;
  impairment.jitter = jitter;
  return impairment;
}

// What the kernel makes of an entry: sigma * value / 8192.
Duration delay_of(const DelayTable& table, int16_t value) {
  return Duration(table.sigma.count() * value / kDelayTableScale);
}

TEST(DelayTable, IsNotNeededWithoutReordering) {
  EXPECT_TRUE(delay_table(weather(0, milliseconds(10), milliseconds(5))).values.empty());
}

TEST(DelayTable, HoldsTheAskedShareBackByTheHold) {
  const DelayTable table = delay_table(weather(0.25, milliseconds(8), {}));
  ASSERT_EQ(table.values.size(), kDelayTableSize);
  const auto held = std::count_if(table.values.begin(), table.values.end(),
                                  [&](int16_t value) { return delay_of(table, value) > milliseconds(4); });
  EXPECT_EQ(held, 4096);
  for (const int16_t value : table.values) {
    const Duration delay = delay_of(table, value);
    EXPECT_TRUE(delay == Duration{} ||
                std::chrono::abs(delay - milliseconds(8)) < std::chrono::microseconds(2));
  }
}

TEST(DelayTable, SpreadsTheJitterEvenlyAroundBoth) {
  const DelayTable table = delay_table(weather(0.5, milliseconds(30), milliseconds(10)));
  std::vector<double> early;
  std::vector<double> late;
  for (const int16_t value : table.values) {
    const double delay = static_cast<double>(delay_of(table, value).count()) / 1e6;
    (delay < 15 ? early : late).push_back(delay);
  }
  for (auto [delays, middle] : {std::pair(&early, 0.0), std::pair(&late, 30.0)}) {
    std::sort(delays->begin(), delays->end());
    EXPECT_NEAR(delays->front(), middle - 10, 0.05);
    EXPECT_NEAR(delays->back(), middle + 10, 0.05);
    EXPECT_NEAR((*delays)[delays->size() / 4], middle - 5, 0.05);
    EXPECT_NEAR((*delays)[delays->size() / 2], middle, 0.05);
  }
}

TEST(DelayTable, SaysSoWhereItsEntriesAreTooFew) {
  EXPECT_TRUE(fits_delay_table(weather(0, milliseconds(10), {})));
  EXPECT_TRUE(fits_delay_table(weather(0.05, milliseconds(10), {})));
  EXPECT_TRUE(fits_delay_table(weather(1, milliseconds(10), {})));
  EXPECT_TRUE(fits_delay_table(weather(1.0 / kDelayTableSize, milliseconds(10), {})));
  EXPECT_FALSE(fits_delay_table(weather(0.00002, milliseconds(10), {}))) << "it would vanish";
  EXPECT_FALSE(fits_delay_table(weather(0.0001, milliseconds(10), {}))) << "it would be a fifth more";
}

}  // namespace
}  // namespace lab
