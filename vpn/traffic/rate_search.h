// The highest rate at which a path loses next to nothing.
#pragma once

#include <cstddef>
#include <functional>

#include "vpn/base/error.h"
#include "vpn/base/result.h"

namespace vpn::traffic {

// One attempt at a rate.
struct RateTrial {
  double offered_per_second = 0;  // what the sender managed, which may be less than it was told
  double received_per_second = 0;
  double loss = 0;  // share of what was sent, 0 … 1
};

struct RateSearch {
  double first_per_second = 20'000;
  double lowest_per_second = 500;
  double highest_per_second = 8e6;
  double loss_limit = 0.01;
  double precision = 0.05;  // the answer is within this share of the first rate that failed
  // A rate is given up only after so many failed attempts: on a busy machine one may fail by accident.
  unsigned attempts = 2;
  // A sender that reaches less than this share of the rate asked for is itself the limit.
  double sender_share = 0.95;
};

struct LosslessRate {
  RateTrial best;                  // of the highest rate that passed; zeros where none did
  bool limited_by_sender = false;  // the path may carry more than the sender can offer
  unsigned trials = 0;
};

// Doubles from the first rate until one fails, then halves the gap (geometrically). `trial` measures one
// rate; its error ends the search.
[[nodiscard]] Result<LosslessRate, Error> find_lossless_rate(
    const RateSearch& search, const std::function<Result<RateTrial, Error>(double per_second)>& trial);

}  // namespace vpn::traffic
