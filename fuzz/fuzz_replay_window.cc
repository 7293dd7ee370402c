// The replay window against a list of every counter it ever accepted: the same verdict at every step, asked
// beforehand and when marked, around the edges of the window, of its blocks and of the key's last counter.
#include <algorithm>
#include <vector>

#include "fuzz/input.h"
#include "vpn/base/check.h"
#include "vpn/core/replay_window.h"

namespace vpn {
namespace {

// The protocol's numbers, on purpose not taken from the code under test.
constexpr Counter kFirstRejected = 0xffffffffffffdfffULL;  // 2^64 − 2^13 − 1
constexpr Counter kReach = 8128;                           // how far behind the greatest one may be
constexpr size_t kMaxSteps = 512;

// What RFC 6479 approximates: the set of all counters seen, and the greatest.
class NaiveWindow {
 public:
  NaiveWindow() { seen_.reserve(kMaxSteps / 2); }
  [[nodiscard]] bool would_accept(Counter counter) const {
    if (counter >= kFirstRejected) return false;
    if (seen_.empty()) return true;
    if (counter < greatest() && greatest() - counter > kReach) return false;
    return !std::binary_search(seen_.begin(), seen_.end(), counter);
  }
  void accept(Counter counter) {
    seen_.insert(std::lower_bound(seen_.begin(), seen_.end(), counter), counter);
  }
  [[nodiscard]] Counter greatest() const { return seen_.empty() ? 0 : seen_.back(); }

 private:
  std::vector<Counter> seen_;  // ascending
};

// The counter of the next step, mostly near what decides: the greatest, the window's end, a block's edge.
Counter next_counter(fuzz::Input& input, Counter greatest) {
  const auto choice = input.take<uint8_t>();
  const Counter small = choice >> 3;
  switch (choice & 7) {
    case 0:
      return greatest + 1 + small;
    case 1:
      return greatest - small;
    case 2:
      return greatest - (kReach - 16 + small);
    case 3:
      return greatest + input.take<uint16_t>();
    case 4:
      return greatest - input.take<uint16_t>();
    case 5:
      return input.take<uint64_t>();
    case 6:
      return kFirstRejected - 16 + small;
    default:
      return (greatest / 64 + small) * 64 - 1 + input.below<uint8_t>(3);
  }
}

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  fuzz::Input input({data, size});
  core::ReplayWindow window;
  NaiveWindow naive;
  for (size_t step = 0; step < kMaxSteps && !input.empty(); ++step) {
    const Counter counter = next_counter(input, naive.greatest());
    const bool expected = naive.would_accept(counter);
    VPN_CHECK(window.would_accept(counter) == expected);
    VPN_CHECK(window.accept(counter) == expected);
    VPN_CHECK(!window.would_accept(counter));
    if (expected) naive.accept(counter);
  }
  return 0;
}
