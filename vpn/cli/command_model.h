// The command line as plain values, taken from the CLI11 model: what completions and manual pages are made
// of.
#pragma once

#include <string>
#include <vector>

#include "vpn/cli/verbs.h"

namespace vpn::cli {

// What a shell offers for a value.
enum class ValueKind : uint8_t { kNone, kText, kFile, kFolder, kInterface, kChoice };

struct OptionModel {
  std::vector<std::string> names;  // "-o", "--output"; empty for a positional
  std::string value;               // "FILE", "auto|always|never", or a positional's name; empty for a flag
  ValueKind kind = ValueKind::kNone;
  std::vector<std::string> choices;  // with kChoice
  std::string description, default_value, environment;
  bool required = false;
};

struct VerbModel {
  std::string name, description;
  std::string footer;                // further lines of its help, an example last
  std::vector<OptionModel> options;  // as declared
  std::vector<OptionModel> positionals;
};

struct ProgramModel {
  std::string name, version, description;
  std::vector<OptionModel> options;
  std::vector<VerbModel> verbs;
};

// The command line as it is parsed: manual, completions and help are made from the same model.
[[nodiscard]] ProgramModel command_model();

}  // namespace vpn::cli
