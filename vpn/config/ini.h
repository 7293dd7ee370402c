// The wg-quick file: text ↔ Config. vpn.conf(5) describes every key.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/config.h"

namespace vpn::config {

// Reads a whole file's text; `file` is only its name in errors. The first thing wrong is the error: unknown
// section or key, a value that does not parse, a key given twice where one is meant, a peer without or with a
// known public key.
[[nodiscard]] Result<Config, Error> parse_ini(std::string_view text, std::string_view file);

// Every error of such a text, in the order of its lines; empty exactly when parse_ini would take it.
[[nodiscard]] std::vector<Error> find_ini_errors(std::string_view text, std::string_view file);

// A key that parse_ini knows. The views last for ever.
struct IniKey {
  std::string_view section;  // "Interface" or "Peer"
  std::string_view key;
  bool repeatable = false;  // may be given several times in one section
  friend bool operator==(const IniKey&, const IniKey&) = default;
};
// Every key that a file may contain, section by section.
[[nodiscard]] std::vector<IniKey> ini_keys();

// Writes a file that parses to an equal Config. It holds the private keys.
[[nodiscard]] std::string to_ini(const Config& config);

}  // namespace vpn::config
