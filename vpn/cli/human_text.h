// Numbers and times in the words that people read them in; shared by show and watch.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "vpn/config/uapi.h"

namespace vpn::cli {

// "17 B", "1.21 KiB", "3.40 GiB", as 'wg show' writes them.
[[nodiscard]] std::string bytes_text(uint64_t bytes);
// "1 minute, 3 seconds"; "0 seconds" for none.
[[nodiscard]] std::string duration_text(std::chrono::seconds duration);
// "1 minute, 3 seconds ago"; "now" for none; "in the future" where clocks disagree.
[[nodiscard]] std::string ago_text(std::chrono::seconds age);
// The same in at most seven characters, for tables: "42s", "3m 05s", "2h 10m", "12d".
[[nodiscard]] std::string short_duration_text(std::chrono::seconds duration);
// "1 peer", "2 peers".
[[nodiscard]] std::string count_text(uint64_t count, std::string_view noun);
// Without anything that a terminal would obey: control characters become '?'.
[[nodiscard]] std::string printable(std::string_view text);
// A peer's name, or the beginning and the end of its key.
[[nodiscard]] std::string peer_label(const config::PeerReport& peer);
// How far the terminal's cursor moves: the number of UTF-8 code points.
[[nodiscard]] size_t display_width(std::string_view text) noexcept;

}  // namespace vpn::cli
