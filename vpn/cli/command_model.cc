#include "vpn/cli/command_model.h"

#include <CLI/CLI.hpp>

#include "vpn/base/version.h"
#include "vpn/cli/command_line.h"

namespace vpn::cli {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

ValueKind kind_of(const std::string& value) {
  if (value.empty()) return ValueKind::kNone;
  if (value == "FILE") return ValueKind::kFile;
  if (value == "DIR") return ValueKind::kFolder;
  if (value == "INTERFACE") return ValueKind::kInterface;
  return value.find('|') != std::string::npos ? ValueKind::kChoice : ValueKind::kText;
}

OptionModel option_model(const CLI::Option& option) {
  OptionModel model;
  for (const std::string& name : option.get_snames()) model.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) model.names.push_back("--" + name);
  const bool takes_value = option.get_items_expected_max() > 0;
  if (takes_value) model.value = option.get_type_name();
  if (model.names.empty() && model.value.find('|') == std::string::npos) model.value = option.get_name(true);
  model.kind = kind_of(model.value);
  if (model.kind == ValueKind::kChoice) model.choices = split(model.value, '|');
  model.description = option.get_description();
  model.default_value = option.get_default_str();
  model.environment = option.get_envname();
  model.required = option.get_required();
  return model;
}

VerbModel verb_model(const CLI::App& app) {
  VerbModel model{app.get_name(), app.get_description(), app.get_footer(), {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    (option->nonpositional() ? model.options : model.positionals).push_back(option_model(*option));
  }
  return model;
}

}  // namespace

ProgramModel command_model() {
  Action ignored;
  const auto app = make_app(ignored);
  const VerbModel whole = verb_model(*app);
  ProgramModel model{app->get_name(), std::string(release()), app->get_description(), whole.options, {}};
  for (const CLI::App* verb : app->get_subcommands([](const CLI::App*) { return true; })) {
    model.verbs.push_back(verb_model(*verb));
  }
  return model;
}

}  // namespace vpn::cli
