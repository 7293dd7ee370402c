#include "vpn/traffic/rate_search.h"

#include <cmath>

namespace vpn::traffic {
namespace {

class Search {
 public:
  Search(const RateSearch& search, const std::function<Result<RateTrial, Error>(double)>& trial)
      : search_(search), trial_(trial) {}

  Result<LosslessRate, Error> run() {
    double rate = search_.first_per_second;
    // Down to a rate that passes …
    for (; rate >= search_.lowest_per_second; rate /= 2) {
      const auto passed = passes(rate);
      if (!passed) return fail(passed.error());
      if (*passed) break;
      failed_ = rate;
    }
    if (rate < search_.lowest_per_second) return found_;
    passed_ = rate;
    // … or up to one that fails …
    while (failed_ == 0 && !found_.limited_by_sender && 2 * passed_ <= search_.highest_per_second) {
      if (auto done = judge(2 * passed_); !done) return fail(done.error());
    }
    // … and then between the two.
    while (failed_ > passed_ * (1 + search_.precision) && !found_.limited_by_sender) {
      if (auto done = judge(std::sqrt(passed_ * failed_)); !done) return fail(done.error());
    }
    return found_;
  }

 private:
  Result<void, Error> judge(double rate) {
    const auto passed = passes(rate);
    if (!passed) return fail(passed.error());
    (*passed ? passed_ : failed_) = rate;
    return {};
  }

  Result<bool, Error> passes(double rate) {
    for (unsigned attempt = 0; attempt < search_.attempts; ++attempt) {
      const auto tried = trial_(rate);
      if (!tried) return fail(tried.error());
      ++found_.trials;
      if (tried->loss > search_.loss_limit) continue;
      const bool offered = tried->offered_per_second >= rate * search_.sender_share;
      if (!offered && attempt + 1 < search_.attempts) continue;
      if (tried->received_per_second > found_.best.received_per_second) found_.best = *tried;
      found_.limited_by_sender = !offered;
      return true;
    }
    return false;
  }

  const RateSearch& search_;
  const std::function<Result<RateTrial, Error>(double)>& trial_;
  LosslessRate found_;
  double passed_ = 0;  // the highest so far that did
  double failed_ = 0;  // the lowest so far that did; 0: none
};

}  // namespace

Result<LosslessRate, Error> find_lossless_rate(const RateSearch& search,
                                               const std::function<Result<RateTrial, Error>(double)>& trial) {
  return Search(search, trial).run();
}

}  // namespace vpn::traffic
