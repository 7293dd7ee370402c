#include "lab/topology/section.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace lab {
namespace {

int line_of_node(const toml::node& node) {
  return static_cast<int>(node.source().begin.line);
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

}  // namespace

void Reading::report(int line, std::string what, std::string remedy) {
  problems.push_back({fmt::format("{}:{}", file, std::max(line, 1)), std::move(what), std::move(remedy)});
}

Section::Section(Reading& reading, const toml::table& table, std::string kind)
    : reading_(&reading), table_(&table), kind_(std::move(kind)), line_(line_of_node(table)) {}

int Section::line_of(std::string_view key) const {
  const toml::node* node = table_->get(key);
  return node == nullptr ? line_ : line_of_node(*node);
}

void Section::report(std::string_view key, std::string what, std::string remedy) {
  reading_->report(line_of(key), std::move(what), std::move(remedy));
}

const toml::node* Section::take(std::string_view key) {
  known_.emplace(key);
  return table_->get(key);
}

std::string Section::substitute(std::string text, int at_line) {
  for (size_t at = text.find('$'); at != std::string::npos; at = text.find('$', at)) {
    size_t end = at + 1;
    while (end < text.size() && is_word(text[end])) ++end;
    const std::string name = text.substr(at + 1, end - at - 1);
    const auto found = std::find_if(reading_->parameters.begin(), reading_->parameters.end(),
                                    [&](const Setting& one) { return one.first == name; });
    if (found == reading_->parameters.end()) {
      reading_->report(at_line, fmt::format("'${}' is no parameter", name), "declare it under [parameters]");
      return text;
    }
    text.replace(at, end - at, found->second);
    at += found->second.size();
  }
  return text;
}

std::optional<std::string> Section::as_text(const toml::node& node, std::string_view key) {
  if (const auto* value = node.as_string()) return substitute(value->get(), line_of_node(node));
  if (const auto* value = node.as_integer()) return std::to_string(value->get());
  if (const auto* value = node.as_boolean()) return value->get() ? "true" : "false";
  reading_->report(line_of_node(node), fmt::format("'{}' must be text, a number or true/false", key),
                   "write it in quotes");
  return std::nullopt;
}

std::optional<std::string> Section::text(std::string_view key) {
  const toml::node* node = take(key);
  return node == nullptr ? std::nullopt : as_text(*node, key);
}

std::string Section::required_text(std::string_view key, std::string_view example) {
  if (auto value = text(key); value && !value->empty()) return *value;
  report(key, fmt::format("this {} has no '{}'", kind_, key), fmt::format("add {} = \"{}\"", key, example));
  return {};
}

std::vector<std::string> Section::list(std::string_view key) {
  std::vector<std::string> values;
  const toml::node* node = take(key);
  if (node == nullptr) return values;
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    if (auto value = as_text(*node, key)) values.push_back(std::move(*value));
    return values;
  }
  for (const toml::node& item : *array) {
    if (auto value = as_text(item, key)) values.push_back(std::move(*value));
  }
  return values;
}

std::optional<uint64_t> Section::number(std::string_view key, uint64_t least, uint64_t most) {
  const auto given = text(key);
  if (!given) return std::nullopt;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(given->data(), given->data() + given->size(), value);
  if (error == std::errc{} && end == given->data() + given->size() && value >= least && value <= most)
    return value;
  report(key, fmt::format("'{}' is {}, which is no whole number from {} to {}", key, *given, least, most),
         "give a number in that range");
  return std::nullopt;
}

bool Section::flag(std::string_view key, bool fallback) {
  const auto given = text(key);
  if (!given) return fallback;
  if (*given != "true" && *given != "false") {
    report(key, fmt::format("'{}' is neither true nor false", key), fmt::format("write {} = true", key));
  }
  return *given == "true";
}

std::optional<Section> Section::child(std::string_view key) {
  const toml::node* node = take(key);
  if (node == nullptr) return std::nullopt;
  if (const toml::table* table = node->as_table()) return Section(*reading_, *table, std::string(key));
  report(key, fmt::format("'{}' must be a table", key), fmt::format("write {} = {{ NAME = … }}", key));
  return std::nullopt;
}

std::vector<Section> Section::children(std::string_view key) {
  std::vector<Section> sections;
  const toml::node* node = take(key);
  if (node == nullptr) return sections;
  const toml::array* array = node->as_array();
  if (array == nullptr || !array->is_homogeneous<toml::table>()) {
    report(key, fmt::format("'{}' must be a list of tables", key),
           fmt::format("write [[{}]] above each", key));
    return sections;
  }
  for (const toml::node& item : *array) sections.emplace_back(*reading_, *item.as_table(), std::string(key));
  return sections;
}

std::vector<std::string> Section::keys() const {
  std::vector<std::string> names;
  for (const auto& [key, value] : *table_) names.emplace_back(key.str());
  return names;
}

void Section::finish() {
  for (const std::string& key : keys()) {
    if (known_.contains(key)) continue;
    report(key,
           kind_.empty() ? fmt::format("'{}' is no part of a topology", key)
                         : fmt::format("a {} has no key '{}'", kind_, key),
           fmt::format("use one of {}", fmt::join(known_, ", ")));
  }
}

}  // namespace lab
