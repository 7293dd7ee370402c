// Section: one TOML table being read: takes values out by key, substitutes parameters, and reports what is
// wrong with its line, the keys nobody asked for included.
#pragma once

#include <toml++/toml.h>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lab/topology/topology.h"

namespace lab {

// What all sections of one file share.
struct Reading {
  std::string file;
  std::vector<Setting> parameters;
  std::vector<Error> problems;

  // Adds a problem of that line.
  void report(int line, std::string what, std::string remedy);
};

class Section {
 public:
  // `kind` names the section in messages: "link", "host" …. Both referents must outlive the Section.
  Section(Reading& reading, const toml::table& table, std::string kind);

  [[nodiscard]] int line() const { return line_; }
  // The line of a key, or the section's where the key is absent.
  [[nodiscard]] int line_of(std::string_view key) const;
  [[nodiscard]] bool has(std::string_view key) const { return table_->contains(key); }
  // Adds a problem of that key's line.
  void report(std::string_view key, std::string what, std::string remedy);

  // Each takes a value as text (numbers and booleans too), with every "$name" in it substituted.
  std::optional<std::string> text(std::string_view key);
  std::string required_text(std::string_view key, std::string_view example);
  // A list, or a single value as a list of one.
  std::vector<std::string> list(std::string_view key);
  std::optional<uint64_t> number(std::string_view key, uint64_t least, uint64_t most);
  bool flag(std::string_view key, bool fallback);
  // A table below this one, such as address = { left = […] }; its own keys are not checked against unknown
  // ones.
  std::optional<Section> child(std::string_view key);
  // The tables of an array of tables below this one.
  std::vector<Section> children(std::string_view key);
  [[nodiscard]] std::vector<std::string> keys() const;

  // Reports every key that was never asked for. To be called last.
  void finish();

 private:
  std::string substitute(std::string text, int at_line);
  std::optional<std::string> as_text(const toml::node& node, std::string_view key);
  const toml::node* take(std::string_view key);

  Reading* reading_;
  const toml::table* table_;
  std::string kind_;
  int line_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace lab
