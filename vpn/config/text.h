// The small grammars that configuration files, the control socket and the command line share: keys, numbers,
// units.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vpn/base/ids.h"
#include "vpn/base/secret.h"

namespace vpn::config {

// Without the blanks (space, tab, carriage return) at both ends.
[[nodiscard]] std::string_view trim(std::string_view text) noexcept;
// ASCII only, as keys and section names are compared.
[[nodiscard]] bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;
// The non-empty items of a list separated by commas or blanks.
[[nodiscard]] std::vector<std::string_view> split_list(std::string_view text);
// True when a control character (a newline, an escape) is in it.
[[nodiscard]] bool has_control_character(std::string_view text) noexcept;

// A decimal number, or a hexadecimal one with 0x, without sign or blanks, at most `max`.
[[nodiscard]] std::optional<uint64_t> parse_number(std::string_view text, uint64_t max) noexcept;
// "64MB" (10^6), "64MiB" (2^20), "4096": bytes. Units k, M, G, T with an optional B or iB; a bare unit letter
// is 10^3n.
[[nodiscard]] std::optional<uint64_t> parse_byte_count(std::string_view text) noexcept;
// "120", "120s", "2m", "2h": seconds.
[[nodiscard]] std::optional<std::chrono::seconds> parse_seconds(std::string_view text) noexcept;
// "true", "on", "yes" and their opposites, in any case.
[[nodiscard]] std::optional<bool> parse_bool(std::string_view text) noexcept;

// 32 bytes as 44 characters of base64 (RFC 4648 section 4), or as 64 of hex. Decoding takes the canonical
// form only, in time that does not depend on the content (libsodium).
[[nodiscard]] std::string to_base64(std::span<const uint8_t, 32> key);
[[nodiscard]] std::string to_hex(std::span<const uint8_t, 32> key);
[[nodiscard]] std::optional<Secret<32>> key_from_base64(std::string_view text) noexcept;
[[nodiscard]] std::optional<Secret<32>> key_from_hex(std::string_view text) noexcept;
[[nodiscard]] PublicKey to_public_key(const Secret<32>& bytes) noexcept;

// 1 … 15 of the characters that wg-quick takes for an interface: letters, digits and _ = + . -
[[nodiscard]] bool is_interface_name(std::string_view text) noexcept;

}  // namespace vpn::config
