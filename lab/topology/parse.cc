#include <fmt/format.h>

#include <algorithm>

#include "lab/topology/reader.h"

namespace lab {
namespace {

void read_parameters(Reading& reading, const toml::table& root, const std::vector<Setting>& settings) {
  const toml::table empty;
  const toml::table* declared = root["parameters"].as_table();
  Section section(reading, declared == nullptr ? empty : *declared, "parameters");
  for (const std::string& name : section.keys()) {
    reading.parameters.emplace_back(name, section.text(name).value_or(""));
  }
  for (const Setting& setting : settings) {
    const std::string& name = setting.first;
    const auto found = std::find_if(reading.parameters.begin(), reading.parameters.end(),
                                    [&](const Setting& one) { return one.first == name; });
    if (found != reading.parameters.end()) {
      found->second = setting.second;
      continue;
    }
    std::string known;
    for (const auto& [one, unused] : reading.parameters) known += (known.empty() ? "" : ", ") + one;
    reading.problems.push_back({reading.file,
                                fmt::format("--set {}: the topology has no such parameter", name),
                                known.empty() ? "leave --set out" : "use one of " + known});
  }
}

}  // namespace

ParsedTopology parse_topology(std::string_view text, const std::string& file,
                              const std::vector<Setting>& settings) {
  ParsedTopology parsed;
  parsed.topology.file = file;
  Reading reading{file, {}, {}};
  toml::table root;
  try {
    root = toml::parse(text);
  } catch (const toml::parse_error& error) {
    reading.report(static_cast<int>(error.source().begin.line), std::string(error.description()),
                   "mend the TOML syntax at that line");
    parsed.problems = std::move(reading.problems);
    return parsed;
  }
  read_parameters(reading, root, settings);
  TopologyReader(reading, parsed.topology).read(root);
  parsed.topology.parameters = std::move(reading.parameters);
  parsed.problems = std::move(reading.problems);
  return parsed;
}

}  // namespace lab
