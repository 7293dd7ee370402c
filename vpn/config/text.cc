#include "vpn/config/text.h"

#include <sodium.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

namespace vpn::config {
namespace {

constexpr std::string_view kBlanks = " \t\r";

char lower(char character) noexcept {
  return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
}

bool is_letter_or_digit(char character) noexcept {
  return (lower(character) >= 'a' && lower(character) <= 'z') || (character >= '0' && character <= '9');
}

std::optional<uint64_t> multiply(uint64_t value, uint64_t factor) noexcept {
  uint64_t product = 0;
  if (__builtin_mul_overflow(value, factor, &product)) return std::nullopt;
  return product;
}

// Splits "64MB" into its digits and its unit.
std::pair<std::string_view, std::string_view> split_unit(std::string_view text) noexcept {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  return {text.substr(0, digits), text.substr(digits)};
}

}  // namespace

std::string_view trim(std::string_view text) noexcept {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::vector<std::string_view> split_list(std::string_view text) {
  std::vector<std::string_view> items;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(", \t\r"), text.size());
    if (end > 0) items.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return items;
}

bool has_control_character(std::string_view text) noexcept {
  return std::any_of(text.begin(), text.end(), [](char character) {
    return static_cast<unsigned char>(character) < 0x20 || character == 0x7f;
  });
}

std::optional<uint64_t> parse_number(std::string_view text, uint64_t max) noexcept {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    text.remove_prefix(2);
    base = 16;
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value > max)
    return std::nullopt;
  return value;
}

std::optional<uint64_t> parse_byte_count(std::string_view text) noexcept {
  const auto [digits, unit] = split_unit(text);
  const auto value = parse_number(digits, std::numeric_limits<uint64_t>::max());
  if (!value || unit.empty() || equal_ignoring_case(unit, "B")) return value;
  constexpr std::string_view kUnits = "kmgt";
  const size_t power = kUnits.find(lower(unit.front()));
  if (power == std::string_view::npos) return std::nullopt;
  const std::string_view rest = unit.substr(1);
  const bool binary = equal_ignoring_case(rest, "iB");
  if (!rest.empty() && !binary && !equal_ignoring_case(rest, "B")) return std::nullopt;
  std::optional<uint64_t> scaled = value;
  for (size_t step = 0; scaled && step <= power; ++step) scaled = multiply(*scaled, binary ? 1024 : 1000);
  return scaled;
}

std::optional<std::chrono::seconds> parse_seconds(std::string_view text) noexcept {
  const auto [digits, unit] = split_unit(text);
  const uint64_t factor = unit.empty() || unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
  const auto value = parse_number(digits, std::numeric_limits<int32_t>::max());
  if (!value || factor == 0) return std::nullopt;
  return std::chrono::seconds(*value * factor);
}

std::optional<bool> parse_bool(std::string_view text) noexcept {
  for (const std::string_view yes : {"true", "on", "yes"}) {
    if (equal_ignoring_case(text, yes)) return true;
  }
  for (const std::string_view no : {"false", "off", "no"}) {
    if (equal_ignoring_case(text, no)) return false;
  }
  return std::nullopt;
}

std::string to_base64(std::span<const uint8_t, 32> key) {
  std::string text(sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), key.data(), key.size(), sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // the terminating zero that libsodium counts
  return text;
}

std::string to_hex(std::span<const uint8_t, 32> key) {
  std::string text(2 * key.size() + 1, '\0');
  sodium_bin2hex(text.data(), text.size(), key.data(), key.size());
  text.pop_back();
  return text;
}

std::optional<Secret<32>> key_from_base64(std::string_view text) noexcept {
  Secret<32> key;
  size_t bytes = 0;
  const char* end = nullptr;
  const int result = sodium_base642bin(key.mutable_view().data(), 32, text.data(), text.size(), nullptr,
                                       &bytes, &end, sodium_base64_VARIANT_ORIGINAL);
  if (result != 0 || bytes != 32 || end != text.data() + text.size()) return std::nullopt;
  // libsodium (1.0.18) takes some bytes above 127 for letters: only what encodes to the same is the canonical
  // form.
  std::array<char, sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_ORIGINAL)> again;
  sodium_bin2base64(again.data(), again.size(), key.view().data(), 32, sodium_base64_VARIANT_ORIGINAL);
  const bool canonical =
      text.size() == again.size() - 1 && sodium_memcmp(again.data(), text.data(), text.size()) == 0;
  sodium_memzero(again.data(), again.size());
  if (!canonical) return std::nullopt;
  return key;
}

std::optional<Secret<32>> key_from_hex(std::string_view text) noexcept {
  Secret<32> key;
  size_t bytes = 0;
  const char* end = nullptr;
  const int result =
      sodium_hex2bin(key.mutable_view().data(), 32, text.data(), text.size(), nullptr, &bytes, &end);
  if (result != 0 || bytes != 32 || end != text.data() + text.size()) return std::nullopt;
  return key;
}

PublicKey to_public_key(const Secret<32>& bytes) noexcept {
  PublicKey key;
  copy_bytes(bytes.view(), key.bytes);
  return key;
}

bool is_interface_name(std::string_view text) noexcept {
  constexpr std::string_view kFurther = "_=+.-";
  return !text.empty() && text.size() <= 15 && text != "." && text != ".." &&
         std::all_of(text.begin(), text.end(), [&](char character) {
           return is_letter_or_digit(character) || kFurther.find(character) != std::string_view::npos;
         });
}

}  // namespace vpn::config
