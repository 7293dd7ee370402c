#include "vpn/config/config.h"

#include "vpn/config/text.h"

namespace vpn::config {

std::string_view cipher_name(Cipher cipher) noexcept {
  switch (cipher) {
    case Cipher::kChaCha20Poly1305:
      return "chacha20-poly1305";
    case Cipher::kAes256Gcm:
      return "aes-256-gcm";
  }
  return "";
}

std::optional<Cipher> parse_cipher(std::string_view text) noexcept {
  for (const Cipher cipher : {Cipher::kChaCha20Poly1305, Cipher::kAes256Gcm}) {
    if (equal_ignoring_case(text, cipher_name(cipher))) return cipher;
  }
  return std::nullopt;
}

std::optional<EndpointName> EndpointName::parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_number(text.substr(colon + 1), 65535);
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  const bool has_colon = host.find(':') != std::string_view::npos;
  if (!port || *port == 0 || host.empty() || host.size() > 253 || has_colon != bracketed) return std::nullopt;
  if (host.find_first_of("[] \t/") != std::string_view::npos || has_control_character(host))
    return std::nullopt;
  return EndpointName{std::string(host), static_cast<uint16_t>(*port)};
}

std::string EndpointName::to_string() const {
  const bool needs_brackets = host.find(':') != std::string::npos;
  return (needs_brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace vpn::config
