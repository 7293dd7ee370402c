// Impairment: the weather on one direction of a link, and its text form. The model and the fate of each
// packet are the simulator's (vpn/sim/fate.h); netem and the user-space wire carry it out.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "lab/error.h"
#include "vpn/sim/fate.h"

namespace lab {

using Duration = std::chrono::nanoseconds;

struct Impairment : vpn::sim::Impairment {
  // What becomes of a packet longer than `mtu_bytes`: answered by ICMP, or (false) swallowed: a black hole.
  bool icmp = true;
  // The medium is ours only now and then, as on Wi-Fi, DOCSIS or LTE: a packet that is due waits for the next
  // slot, with all that come due meanwhile. Slots open `slot_min` … `slot_max` after the first packet that
  // waits. `slot_max` of 0: always.
  Duration slot_min{};
  Duration slot_max{};

  // Whether packets pass untouched.
  [[nodiscard]] bool is_clear() const;
  friend bool operator==(const Impairment&, const Impairment&) = default;
};

// Sets one key ("loss", "delay", …) from its text ("5%", "20ms±5ms", …). On an error nothing has changed.
[[nodiscard]] Result<void> set_impairment(Impairment& impairment, std::string_view key,
                                          std::string_view value);

// "clear", or blank-separated "key=value" items, one after the other. On an error nothing has changed.
[[nodiscard]] Result<void> set_impairments(Impairment& impairment, std::string_view text);

// The keys set_impairment() knows, for messages and help.
[[nodiscard]] std::string impairment_keys();

// "delay=20ms±5ms loss=1%", which set_impairments() reads back; "clear" when is_clear().
[[nodiscard]] std::string to_string(const Impairment& impairment);

// "20ms", "1.5s", "200us", "2min", "0": not negative.
[[nodiscard]] std::optional<Duration> parse_duration(std::string_view text);
[[nodiscard]] std::string format_duration(Duration duration);

}  // namespace lab
