#include "vpn/daemon/path_mtu.h"

#include <algorithm>
#include <array>

#include "vpn/host/echo_socket.h"

namespace vpn::daemon {
namespace {

constexpr uint16_t kShort = host::kShortestEcho;
constexpr unsigned kMissesThatProve = 2;

// What is left inside for outer paths of 1500 bytes, PPPoE, tunnels and mobile networks down to 1280 and
// below, over IPv4 and over IPv6. Multiples of 16, which is what packets are padded to.
constexpr std::array<uint16_t, 19> kSizes{1440, 1424, 1408, 1392, 1376, 1360, 1344, 1328, 1312, 1296,
                                          1280, 1264, 1248, 1232, 1216, 1200, 1104, 1008, 576};

}  // namespace

std::vector<uint16_t> PathMtu::ask(State state, std::vector<uint16_t> sizes, Instant now) {
  state_ = state;
  answered_.clear();
  due_ = now + kPathAnswerTime;
  return sizes;
}

std::vector<uint16_t> PathMtu::rest(Instant now) {
  state_ = State::kResting;
  due_ = now + kPathCheckStep;
  return {};
}

std::vector<uint16_t> PathMtu::search(Instant now) {
  std::vector<uint16_t> sizes{kShort};
  for (const uint16_t size : kSizes) {
    if (size < ceiling_) sizes.push_back(size);
  }
  sizes.push_back(ceiling_);
  return ask(State::kSearching, std::move(sizes), now);
}

void PathMtu::judge_search(Instant now) {
  misses_ = 0;
  if (answered_.empty()) return;  // a peer that is gone, not a path that is narrow
  const uint16_t largest = *answered_.rbegin();
  mtu_ = largest == kShort ? std::min(kSizes.back(), ceiling_) : largest;
  raise_at_ = mtu_ < ceiling_ ? std::optional(now + kPathRaiseStep) : std::nullopt;
}

std::vector<uint16_t> PathMtu::handle_timeout(bool busy, Instant now) {
  if (now < due_) return {};
  if (state_ == State::kSearching) {
    judge_search(now);
    return rest(now);
  }
  if (state_ == State::kChecking) {
    const bool short_only = answered_.contains(kShort) && !answered_.contains(mtu_);
    if (answered_.contains(mtu_)) misses_ = 0;
    if (!short_only) return rest(now);
    if (++misses_ >= kMissesThatProve) return search(now);
    return ask(State::kChecking, {kShort, mtu_}, now);
  }
  if (!busy) return rest(now);
  if (raise_at_ && *raise_at_ <= now) return search(now);
  return ask(State::kChecking, {kShort, mtu_}, now);
}

}  // namespace vpn::daemon
