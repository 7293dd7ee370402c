#include "vpn/traffic/rate_search.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace vpn::traffic {
namespace {

// A path that carries `capacity` packets a second and loses the rest, behind a sender that reaches `sender`.
struct ModelPath {
  double capacity = 0;
  double sender = 1e9;
  unsigned accidents = 0;  // so many of the first trials fail whatever the rate
  unsigned trials = 0;

  Result<RateTrial, Error> operator()(double rate) {
    const double offered = std::min(rate, sender);
    double received = std::min(offered, capacity);
    if (trials++ < accidents) received = offered / 2;
    return RateTrial{offered, received, 1 - received / offered};
  }
};

LosslessRate search(ModelPath& path, const RateSearch& options = {}) {
  const auto found = find_lossless_rate(options, std::ref(path));
  EXPECT_TRUE(found);
  return found.value_or(LosslessRate{});
}

TEST(RateSearchTest, FindsTheCapacityOfPathsFarApartWithinThePrecision) {
  for (const double capacity : {700.0, 19'000.0, 21'000.0, 75'123.0, 1'234'567.0}) {
    ModelPath path{.capacity = capacity};
    const LosslessRate found = search(path);
    EXPECT_GE(found.best.received_per_second, capacity * 0.95) << capacity;
    EXPECT_LE(found.best.received_per_second, capacity) << capacity;
    EXPECT_LE(found.best.loss, 0.01) << capacity;
    EXPECT_FALSE(found.limited_by_sender);
  }
}

TEST(RateSearchTest, OneAccidentDoesNotGiveARateUp) {
  ModelPath path{.capacity = 100'000, .accidents = 1};
  EXPECT_GE(search(path).best.received_per_second, 95'000);
}

TEST(RateSearchTest, WithoutASecondAttemptAnAccidentCounts) {
  ModelPath path{.capacity = 100'000, .accidents = 1};
  EXPECT_LE(search(path, {.attempts = 1}).best.received_per_second, 20'000);
}

TEST(RateSearchTest, SaysWhenTheSenderWasTheLimit) {
  ModelPath path{.capacity = 1e9, .sender = 300'000};
  const LosslessRate found = search(path);
  EXPECT_TRUE(found.limited_by_sender);
  EXPECT_DOUBLE_EQ(found.best.received_per_second, 300'000);
}

TEST(RateSearchTest, APathThatCarriesNothingEndsWithZeros) {
  ModelPath path{.capacity = 0};
  EXPECT_EQ(search(path).best.received_per_second, 0);
}

TEST(RateSearchTest, EndsAtTheHighestRateAllowed) {
  ModelPath path{.capacity = 1e9};
  const LosslessRate found = search(path, {.highest_per_second = 100'000});
  EXPECT_DOUBLE_EQ(found.best.received_per_second, 80'000);
}

TEST(RateSearchTest, AnErrorOfATrialIsTheAnswer) {
  const auto found = find_lossless_rate({}, [](double) -> Result<RateTrial, Error> {
    return fail(Error{"10.0.0.1", 0, "", "unreachable", ""});
  });
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().problem, "unreachable");
}

}  // namespace
}  // namespace vpn::traffic
