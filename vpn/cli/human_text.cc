#include "vpn/cli/human_text.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "vpn/config/text.h"

namespace vpn::cli {
namespace {

using std::chrono::seconds;

constexpr seconds kMinute{60};
constexpr seconds kHour{3600};
constexpr seconds kDay{86400};
constexpr seconds kYear{365 * 86400};

template <typename... Values>
std::string format(const char* pattern, Values... values) {
  std::array<char, 64> text{};
  const int length = std::snprintf(text.data(), text.size(), pattern, values...);
  return {text.data(), static_cast<size_t>(std::max(length, 0))};
}

}  // namespace

std::string bytes_text(uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return format("%.2f %s", value, kUnits[unit]);
}

std::string duration_text(seconds duration) {
  std::string text;
  const std::pair<seconds, const char*> units[] = {
      {kYear, "year"}, {kDay, "day"}, {kHour, "hour"}, {kMinute, "minute"}, {seconds(1), "second"}};
  for (const auto& [length, noun] : units) {
    const auto count = duration / length;
    duration %= length;
    if (count > 0) text += (text.empty() ? "" : ", ") + count_text(static_cast<uint64_t>(count), noun);
  }
  return text.empty() ? "0 seconds" : text;
}

std::string ago_text(seconds age) {
  if (age.count() < 0) return "in the future (the clock was set back)";
  return age.count() == 0 ? "now" : duration_text(age) + " ago";
}

std::string short_duration_text(seconds duration) {
  const auto count = [](auto value) { return static_cast<long long>(value); };
  if (duration < seconds(0)) return "future";
  if (duration < kMinute) return format("%llds", count(duration.count()));
  if (duration < kHour)
    return format("%lldm %02llds", count(duration / kMinute), count((duration % kMinute).count()));
  if (duration < kDay)
    return format("%lldh %02lldm", count(duration / kHour), count(duration % kHour / kMinute));
  return format("%lldd", count(duration / kDay));
}

std::string count_text(uint64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string printable(std::string_view text) {
  std::string result(text);
  for (char& character : result) {
    if (static_cast<unsigned char>(character) < 0x20 || character == 0x7f) character = '?';
  }
  return result;
}

std::string peer_label(const config::PeerReport& peer) {
  if (!peer.name.empty()) return printable(peer.name);
  const std::string key = config::to_base64(peer.public_key.bytes);
  return key.substr(0, 8) + "…" + key.substr(key.size() - 4);
}

size_t display_width(std::string_view text) noexcept {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char character) {
    return (static_cast<unsigned char>(character) & 0xc0) != 0x80;  // not a continuation byte
  }));
}

}  // namespace vpn::cli
