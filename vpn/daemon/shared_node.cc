#include "vpn/daemon/shared_node.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <utility>

namespace vpn::daemon {
namespace {

constexpr int kTriesBeforeSleep = 200;

void relax() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void BriefMutex::lock() noexcept {
  for (int tries = 0; tries < kTriesBeforeSleep; ++tries) {
    if (mutex_.try_lock()) return;
    relax();
  }
  mutex_.lock();
}

SharedNode::SharedNode(crypto::RandomSource& random, const core::NodeOptions& options, Clock clock)
    : clock_(std::move(clock)), node_(crypto::select_aeads(), random, options, clock_()) {
  const std::lock_guard<BriefMutex> lock(data_mutex_);
  node_.share(data_mutex_, crypto::select_aeads());
}

SharedNode::Data::Data(SharedNode& shared) noexcept
    : shared_(shared), lock_(shared.data_mutex_), now_(shared.clock_()) {}

SharedNode::Data::~Data() {
  shared_.look(shared_.node_);
}

SharedNode::Control::Control(std::unique_lock<std::mutex> lock, SharedNode& shared) noexcept
    : lock_(std::move(lock)) {
  data_.emplace(shared);
}

SharedNode::Control SharedNode::control() noexcept {
  return Control(std::unique_lock(control_mutex_), *this);
}

std::optional<SharedNode::Control> SharedNode::try_control() noexcept {
  std::unique_lock lock(control_mutex_, std::try_to_lock);
  if (!lock) return std::nullopt;
  return std::optional<Control>(std::in_place, std::move(lock), *this);
}

// Tells those who do not hold the lock what there is to do.
void SharedNode::look(const core::Node& node) noexcept {
  const bool transmits = node.has_transmits();
  if (transmits != has_transmits_.load(std::memory_order_relaxed)) has_transmits_.store(transmits);
  const std::optional<Instant> due = node.poll_timeout();
  const bool sooner = due && (!timer_set_ || *due < *timer_set_);
  if (node.has_events() || sooner) wants_main_loop_.store(true);
}

void SharedNode::note_main_loop_done(const Control& control) noexcept {
  timer_set_ = control->poll_timeout();
  wants_main_loop_.store(false);
}

}  // namespace vpn::daemon
