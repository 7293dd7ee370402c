// What every key of a configuration file means: the one source of vpn.conf(5), vpn/docs/config.md and their
// tests.
#pragma once

#include <span>
#include <string_view>

namespace vpn::config {

struct KeyDoc {
  std::string_view section;        // "Interface" or "Peer"
  std::string_view key;            // as parse_ini spells it
  std::string_view value;          // the form of its value: "PORT", "auto|off|main|NUMBER"
  std::string_view meaning;        // one or more whole sentences, without markup
  std::string_view default_value;  // what holds when the key is absent, in words
  std::string_view example;        // a value that parses
  bool only_here = false;          // an addition: wg and wg-quick do not know the key
};

// All keys, in the order of ini_keys(); the views last for ever.
[[nodiscard]] std::span<const KeyDoc> key_docs() noexcept;

}  // namespace vpn::config
