#include "vpn/sim/event_log.h"

#include <fmt/format.h>

#include <iterator>

namespace vpn::sim {

namespace {
constexpr size_t kHashBytes = 32;
}

EventLog::EventLog() noexcept {
  crypto_generichash_init(&hash_, nullptr, 0, kHashBytes);
}

void EventLog::add(Instant when, std::string_view text) {
  constexpr int64_t kSecond = 1'000'000'000;
  const int64_t time = when.time_since_epoch().count();
  line_.clear();
  fmt::format_to(std::back_inserter(line_), "{:5}.{:09} {}\n", time / kSecond, time % kSecond, text);
  crypto_generichash_update(&hash_, reinterpret_cast<const uint8_t*>(line_.data()), line_.size());
  ++line_count_;
  if (keeps_lines_) lines_.emplace_back(line_, 0, line_.size() - 1);
}

std::string EventLog::hash() const {
  crypto_generichash_state copy = hash_;
  std::array<uint8_t, kHashBytes> digest{};
  crypto_generichash_final(&copy, digest.data(), digest.size());
  std::string text;
  for (const uint8_t byte : digest) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
  return text;
}

}  // namespace vpn::sim
