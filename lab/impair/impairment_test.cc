#include "lab/impair/impairment.h"

#include <gtest/gtest.h>

namespace lab {
namespace {

using std::chrono::milliseconds;

Impairment parsed(const std::string& text) {
  Impairment impairment;
  const auto set = set_impairments(impairment, text);
  EXPECT_TRUE(set) << text << ": " << (set ? "" : set.error().to_string());
  return impairment;
}

TEST(Impairment, EveryKeyIsRead) {
  const Impairment i = parsed(
      "loss=5% burst=1%/25%/80% delay=20ms±5ms reorder=25%/7ms duplicate=1% corrupt=0.1% rate=50mbit "
      "queue=20 mtu=1280 "
      "icmp=off drop=response:2,cookie");
  EXPECT_DOUBLE_EQ(i.loss, 0.05);
  EXPECT_DOUBLE_EQ(i.burst.good_to_bad, 0.01);
  EXPECT_DOUBLE_EQ(i.burst.bad_to_good, 0.25);
  EXPECT_DOUBLE_EQ(i.burst.loss_in_bad, 0.8);
  EXPECT_EQ(i.delay, milliseconds(20));
  EXPECT_EQ(i.jitter, milliseconds(5));
  EXPECT_DOUBLE_EQ(i.reorder, 0.25);
  EXPECT_EQ(i.reorder_hold, milliseconds(7));
  EXPECT_DOUBLE_EQ(i.duplicate, 0.01);
  EXPECT_DOUBLE_EQ(i.corrupt, 0.001);
  EXPECT_EQ(i.rate_bits_per_second, 50'000'000U);
  EXPECT_EQ(i.queue_packets, 20U);
  EXPECT_EQ(i.mtu_bytes, 1280U);
  EXPECT_FALSE(i.icmp);
  ASSERT_EQ(i.drops.size(), 2U);
  EXPECT_EQ(i.drops[0].first, 2U);
}

TEST(Impairment, TextIsReadBackAsItWas) {
  for (const char* text : {"clear", "delay=20ms±5ms loss=1%", "burst=1%/25%/100%/0%", "reorder=5%/10ms",
                           "delay=250us", "rate=1500kbit queue=20", "slot=5ms", "slot=5ms-20ms",
                           "mtu=1280 icmp=off", "drop=response:2,data:10-20,initiation:3-"}) {
    const Impairment once = parsed(text);
    EXPECT_EQ(to_string(once), text);
    EXPECT_EQ(parsed(to_string(once)), once) << text;
  }
}

TEST(Impairment, ClearForgetsWhatWasSetBefore) {
  Impairment impairment = parsed("loss=5%");
  ASSERT_TRUE(set_impairments(impairment, "clear delay=1ms"));
  EXPECT_EQ(to_string(impairment), "delay=1ms");
  ASSERT_TRUE(set_impairments(impairment, "clear"));
  EXPECT_TRUE(impairment.is_clear());
}

TEST(Impairment, WhatIsOutOfRangeIsRefusedAndChangesNothing) {
  for (const char* bad : {"slot=-1ms",  "slot=20ms-5ms",  "slot=1ms-2ms-3ms", "slot=61s",   "slot=",
                          "loss=101%",  "loss=-1%",       "loss=5",           "loss=five%", "loss=",
                          "loss",       "delay=20",       "delay=-1ms",       "delay=61s",  "delay=5ms±6ms",
                          "rate=5",     "rate=10bit",     "queue=0",          "mtu=67",     "mtu=70000",
                          "icmp=maybe", "drop=second",    "drop=response:0",  "burst=1%",   "burst=1%/0%",
                          "lose=5%",    "reorder=5%/0ms", "loss=nan%",        "loss=1e2%"}) {
    Impairment impairment = parsed("loss=3%");
    const auto set = set_impairments(impairment, std::string("delay=1ms ") + bad);
    ASSERT_FALSE(set) << bad;
    EXPECT_FALSE(set.error().remedy.empty()) << bad;
    EXPECT_EQ(to_string(impairment), "loss=3%") << bad;
  }
}

}  // namespace
}  // namespace lab
