#include "lab/impair/impairment.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

namespace lab {
namespace {

using vpn::sim::BurstLoss;
using vpn::sim::DropRule;

constexpr Duration kLongestDelay = std::chrono::seconds(60);

struct Number {
  double value;
  std::string_view unit;  // what followed it
};

std::optional<Number> split_number(std::string_view text) {
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(value) || value < 0) return std::nullopt;
  return Number{value, text.substr(static_cast<size_t>(end - text.data()))};
}

std::optional<double> parse_share(std::string_view text) {
  const auto number = split_number(text);
  if (!number) return std::nullopt;
  if (number->unit == "%" && number->value <= 100) return number->value / 100;
  if (number->unit.empty() && number->value == 0) return 0.0;
  return std::nullopt;
}

std::optional<uint64_t> parse_rate(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 4> kUnits = {
      {{"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}}};
  const auto number = split_number(text);
  if (!number) return std::nullopt;
  if (number->unit.empty() && number->value == 0) return 0;
  for (const auto& [unit, factor] : kUnits) {
    const double bits = number->value * factor;
    if (number->unit == unit && bits >= 1000 && bits <= 1e12) return static_cast<uint64_t>(bits);
  }
  return std::nullopt;
}

std::optional<uint32_t> parse_count(std::string_view text, uint32_t least, uint32_t most) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most)
    return std::nullopt;
  return value;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t start = 0;;) {
    const size_t end = text.find(separator, start);
    parts.push_back(text.substr(start, end == std::string_view::npos ? end : end - start));
    if (end == std::string_view::npos) return parts;
    start = end + 1;
  }
}

bool set_share(double& to, std::string_view text) {
  const auto share = parse_share(text);
  if (share) to = *share;
  return share.has_value();
}

// ENTER/LEAVE[/LOSS IN BAD[/LOSS IN GOOD]], or "none".
bool set_burst(BurstLoss& to, std::string_view text) {
  BurstLoss burst;
  if (text != "none") {
    const auto parts = split(text, '/');
    if (parts.size() < 2 || parts.size() > 4) return false;
    double* const fields[] = {&burst.good_to_bad, &burst.bad_to_good, &burst.loss_in_bad,
                              &burst.loss_in_good};
    for (size_t i = 0; i < parts.size(); ++i) {
      if (!set_share(*fields[i], parts[i])) return false;
    }
    if (burst.bad_to_good == 0) return false;
  }
  to = burst;
  return true;
}

bool set_time(Duration& to, std::string_view text) {
  const auto duration = parse_duration(text);
  if (!duration || *duration > kLongestDelay) return false;
  to = *duration;
  return true;
}

// DELAY, DELAY±JITTER or DELAY+-JITTER.
bool set_delay(Impairment& impairment, std::string_view text) {
  Duration jitter{};
  for (const std::string_view sign : {std::string_view("±"), std::string_view("+-")}) {
    const size_t at = text.find(sign);
    if (at == std::string_view::npos) continue;
    if (!set_time(jitter, text.substr(at + sign.size()))) return false;
    text = text.substr(0, at);
  }
  if (!set_time(impairment.delay, text) || jitter > impairment.delay) return false;
  impairment.jitter = jitter;
  return true;
}

// GAP, LEAST-MOST, or 0.
bool set_slot(Impairment& impairment, std::string_view text) {
  const auto parts = split(text, '-');
  if (parts.size() > 2) return false;
  return set_time(impairment.slot_min, parts.front()) && set_time(impairment.slot_max, parts.back()) &&
         impairment.slot_min <= impairment.slot_max;
}

// SHARE, or SHARE/HOLD.
bool set_reorder(Impairment& impairment, std::string_view text) {
  const auto parts = split(text, '/');
  if (parts.size() > 2 || !set_share(impairment.reorder, parts[0])) return false;
  return parts.size() == 1 ||
         (set_time(impairment.reorder_hold, parts[1]) && impairment.reorder_hold > Duration{});
}

bool set_drop(Impairment& impairment, std::string_view text) {
  std::vector<DropRule> rules;
  if (text != "none") {
    for (const std::string_view part : split(text, ',')) {
      const auto rule = DropRule::parse(part);
      if (!rule) return false;
      rules.push_back(*rule);
    }
  }
  impairment.drops = std::move(rules);
  return true;
}

bool set_icmp(Impairment& impairment, std::string_view text) {
  impairment.icmp = text == "on";
  return text == "on" || text == "off";
}

bool set_rate(Impairment& impairment, std::string_view text) {
  const auto rate = parse_rate(text);
  impairment.rate_bits_per_second = rate.value_or(0);
  return rate.has_value();
}

bool set_count(uint32_t& to, std::string_view text, uint32_t least, uint32_t most) {
  const auto count = parse_count(text, least, most);
  to = count.value_or(0);
  return count.has_value();
}

struct Key {
  std::string_view name;
  std::string_view example;  // completes "give …"
  bool (*set)(Impairment&, std::string_view);
};

constexpr std::string_view kShareExample = "a share from 0% to 100%";
constexpr Key kKeys[] = {
    {"loss", kShareExample, [](Impairment& i, std::string_view v) { return set_share(i.loss, v); }},
    {"burst", "burst=ENTER%/LEAVE%[/LOSS%], for example burst=1%/25%, or burst=none",
     [](Impairment& i, std::string_view v) { return set_burst(i.burst, v); }},
    {"delay", "delay=20ms or delay=20ms±5ms, at most 60s, the jitter no more than the delay", set_delay},
    {"reorder", "reorder=5% or reorder=5%/10ms (the share held back, and for how long)", set_reorder},
    {"duplicate", kShareExample, [](Impairment& i, std::string_view v) { return set_share(i.duplicate, v); }},
    {"corrupt", kShareExample, [](Impairment& i, std::string_view v) { return set_share(i.corrupt, v); }},
    {"rate", "rate=50mbit, from 1kbit to 1000gbit, or rate=0 for no limit", set_rate},
    {"queue", "queue=1000 (packets, 1 to 1000000)",
     [](Impairment& i, std::string_view v) { return set_count(i.queue_packets, v, 1, 1'000'000); }},
    {"slot", "slot=5ms or slot=5ms-20ms (how long until the medium is ours), at most 60s, or slot=0",
     set_slot},
    {"mtu", "mtu=1280 (68 to 65535 bytes of the IP packet), or mtu=0 for no limit",
     [](Impairment& i, std::string_view v) { return set_count(i.mtu_bytes, v, v == "0" ? 0 : 68, 65535); }},
    {"icmp", "icmp=on or icmp=off", set_icmp},
    {"drop",
     "drop=response:2 or drop=data:10-20,cookie (initiation, response, cookie, data, keepalive, other), or "
     "drop=none",
     set_drop},
};

std::string format_share(double share) {
  return fmt::format("{:.6g}%", share * 100);
}

std::string format_rate(uint64_t bits) {
  constexpr std::array<std::pair<std::string_view, uint64_t>, 3> kUnits = {
      {{"gbit", 1'000'000'000}, {"mbit", 1'000'000}, {"kbit", 1000}}};
  for (const auto& [unit, factor] : kUnits) {
    if (bits % factor == 0) return fmt::format("{}{}", bits / factor, unit);
  }
  return fmt::format("{}bit", bits);
}

}  // namespace

bool Impairment::is_clear() const {
  return loss == 0 && burst == BurstLoss{} && delay == Duration{} && reorder == 0 && duplicate == 0 &&
         corrupt == 0 && drops.empty() && mtu_bytes == 0 && rate_bits_per_second == 0 &&
         slot_max == Duration{};
}

Result<void> set_impairment(Impairment& impairment, std::string_view key, std::string_view value) {
  for (const Key& known : kKeys) {
    if (known.name != key) continue;
    Impairment changed = impairment;
    if (!known.set(changed, value) || vpn::sim::invalid_field(changed)) {
      return fail("", fmt::format("impairment {}={} is out of range or not understood", key, value),
                  fmt::format("give {}", known.example));
    }
    impairment = std::move(changed);
    return {};
  }
  return fail("", fmt::format("no impairment is called '{}'", key), "use one of " + impairment_keys());
}

Result<void> set_impairments(Impairment& impairment, std::string_view text) {
  Impairment changed = impairment;
  for (const std::string_view item : split(text, ' ')) {
    if (item.empty()) continue;
    if (item == "clear") {
      changed = Impairment{};
      continue;
    }
    const size_t equals = item.find('=');
    if (equals == std::string_view::npos) {
      return fail("", fmt::format("'{}' is no impairment", item),
                  "write KEY=VALUE, for example loss=5%, or clear");
    }
    if (auto set = set_impairment(changed, item.substr(0, equals), item.substr(equals + 1)); !set) return set;
  }
  impairment = std::move(changed);
  return {};
}

std::string impairment_keys() {
  std::string names;
  for (const Key& key : kKeys) names += (names.empty() ? "" : ", ") + std::string(key.name);
  return names;
}

std::string to_string(const Impairment& impairment) {
  if (impairment.is_clear()) return "clear";
  std::string text;
  const auto add = [&](std::string_view key, const std::string& value) {
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", key, value);
  };
  const auto add_share = [&](std::string_view key, double share) {
    if (share > 0) add(key, format_share(share));
  };
  if (impairment.delay > Duration{}) {
    const std::string jitter = impairment.jitter > Duration{} ? "±" + format_duration(impairment.jitter) : "";
    add("delay", format_duration(impairment.delay) + jitter);
  }
  add_share("loss", impairment.loss);
  if (const BurstLoss& burst = impairment.burst; burst != BurstLoss{}) {
    add("burst", fmt::format("{}/{}/{}/{}", format_share(burst.good_to_bad), format_share(burst.bad_to_good),
                             format_share(burst.loss_in_bad), format_share(burst.loss_in_good)));
  }
  if (impairment.reorder > 0) {
    add("reorder", format_share(impairment.reorder) + "/" + format_duration(impairment.reorder_hold));
  }
  add_share("duplicate", impairment.duplicate);
  add_share("corrupt", impairment.corrupt);
  if (impairment.rate_bits_per_second > 0) {
    add("rate", format_rate(impairment.rate_bits_per_second));
    add("queue", std::to_string(impairment.queue_packets));
  }
  if (impairment.slot_max > Duration{}) {
    const std::string least = format_duration(impairment.slot_min);
    const std::string most = format_duration(impairment.slot_max);
    add("slot", least == most ? most : least + "-" + most);
  }
  if (impairment.mtu_bytes > 0) {
    add("mtu", std::to_string(impairment.mtu_bytes));
    add("icmp", impairment.icmp ? "on" : "off");
  }
  std::string drops;
  for (const DropRule& rule : impairment.drops) drops += (drops.empty() ? "" : ",") + rule.to_string();
  if (!drops.empty()) add("drop", drops);
  return text;
}

std::optional<Duration> parse_duration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 4> kUnits = {
      {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"min", 6e10}}};
  const auto number = split_number(text);
  if (!number) return std::nullopt;
  if (number->unit.empty() && number->value == 0) return Duration{};
  for (const auto& [unit, nanoseconds] : kUnits) {
    if (number->unit == unit && number->value * nanoseconds < 1e15) {
      return Duration(std::llround(number->value * nanoseconds));
    }
  }
  return std::nullopt;
}

std::string format_duration(Duration duration) {
  const auto count = static_cast<double>(duration.count());
  if (duration >= std::chrono::seconds(1)) return fmt::format("{:.6g}s", count / 1e9);
  if (duration >= std::chrono::milliseconds(1) || duration == Duration{})
    return fmt::format("{:.6g}ms", count / 1e6);
  return fmt::format("{:.6g}us", count / 1e3);
}

}  // namespace lab
