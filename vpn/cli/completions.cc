#include "vpn/cli/completions.h"

namespace vpn::cli {
namespace {

std::string replace_all(std::string text, std::string_view what, std::string_view with) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

// 'text' as one word of bash, zsh and fish alike.
std::string quoted(const std::string& text) {
  return "'" + replace_all(text, "'", R"('\'')") + "'";
}

std::string join(const std::vector<std::string>& words, const char* separator) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : separator) + word;
  return text;
}

// ---- bash

std::string bash_offer(const OptionModel& option) {
  switch (option.kind) {
    case ValueKind::kNone:
    case ValueKind::kText:
      return "";
    case ValueKind::kFile:
      return "compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- \"$cur\"))";
    case ValueKind::kFolder:
      return "compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- \"$cur\"))";
    case ValueKind::kInterface:
      return "COMPREPLY+=($(compgen -W \"$(_vpn_interfaces)\" -- \"$cur\"))";
    case ValueKind::kChoice:
      return "COMPREPLY+=($(compgen -W '" + join(option.choices, " ") + "' -- \"$cur\"))";
  }
  return "";
}

std::string bash_words(const std::vector<OptionModel>& options) {
  std::string words;
  for (const OptionModel& option : options) words += (words.empty() ? "" : " ") + join(option.names, " ");
  return words;
}

std::string bash_verb(const VerbModel& verb) {
  std::string text = "    " + verb.name + ")\n      case $prev in\n";
  for (const OptionModel& option : verb.options) {
    if (option.kind == ValueKind::kNone) continue;
    const std::string offer = bash_offer(option);
    text += "        " + join(option.names, "|") + ") " + (offer.empty() ? "" : offer + "; ") + "return ;;\n";
  }
  text += "      esac\n      COMPREPLY=($(compgen -W '" + bash_words(verb.options) + "' -- \"$cur\"))\n";
  for (const OptionModel& positional : verb.positionals) {
    const std::string offer = bash_offer(positional);
    if (!offer.empty()) text += "      [[ $cur == -* ]] || { " + offer + "; }\n";
  }
  return text + "      ;;\n";
}

// ---- zsh

std::string zsh_action(const OptionModel& option) {
  switch (option.kind) {
    case ValueKind::kNone:
    case ValueKind::kText:
      return " ";
    case ValueKind::kFile:
      return "_files";
    case ValueKind::kFolder:
      return "_files -/";
    case ValueKind::kInterface:
      return "_vpn_interfaces";
    case ValueKind::kChoice:
      return "(" + join(option.choices, " ") + ")";
  }
  return " ";
}

std::string zsh_text(const std::string& text) {
  std::string escaped = text;
  for (const char* special : {"\\", "[", "]", ":"})
    escaped = replace_all(escaped, special, std::string("\\") + special);
  return escaped;
}

std::vector<std::string> zsh_specs(const OptionModel& option) {
  if (option.names.empty()) return {quoted(":" + zsh_text(option.value) + ":" + zsh_action(option))};
  std::string tail = "[" + zsh_text(option.description) + "]";
  if (option.kind != ValueKind::kNone) tail += ":" + zsh_text(option.value) + ":" + zsh_action(option);
  const std::string excluded = option.names.size() > 1 ? "(" + join(option.names, " ") + ")" : "";
  std::vector<std::string> specs;
  for (const std::string& name : option.names) specs.push_back(quoted(excluded + name + tail));
  return specs;
}

std::string zsh_arguments(const std::vector<OptionModel>& options, const std::string& indent) {
  std::string text;
  for (const OptionModel& option : options) {
    for (const std::string& spec : zsh_specs(option)) text += " \\\n" + indent + spec;
  }
  return text;
}

// ---- fish

std::string fish_option(const std::string& condition, const OptionModel& option) {
  std::string line = "complete -c vpn -n " + quoted(condition);
  for (const std::string& name : option.names) {
    line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  switch (option.kind) {
    case ValueKind::kNone:
      break;
    case ValueKind::kText:
      line += " -x";
      break;
    case ValueKind::kFile:
      line += " -r -F";
      break;
    case ValueKind::kFolder:
      line += " -x -a '(__fish_complete_directories)'";
      break;
    case ValueKind::kInterface:
      line += " -x -a '(__vpn_interfaces)'";
      break;
    case ValueKind::kChoice:
      line += " -x -a " + quoted(join(option.choices, " "));
      break;
  }
  return line + " -d " + quoted(option.description) + "\n";
}

std::string fish_positional(const std::string& condition, const OptionModel& positional) {
  const std::string begin = "complete -c vpn -n " + quoted(condition);
  switch (positional.kind) {
    case ValueKind::kFile:
      return begin + " -F\n";
    case ValueKind::kInterface:
      return begin + " -a '(__vpn_interfaces)'\n";
    case ValueKind::kChoice:
      return begin + " -a " + quoted(join(positional.choices, " ")) + "\n";
    default:
      return "";
  }
}

}  // namespace

std::string bash_completions(const ProgramModel& program) {
  std::string verbs;
  std::string verb_cases;
  for (const VerbModel& verb : program.verbs) {
    verbs += (verbs.empty() ? "" : " ") + verb.name;
    verb_cases += bash_verb(verb);
  }
  return R"(# Completions of vpn for bash; printed by 'vpn completions bash'.
_vpn_interfaces() {
  local socket
  for socket in /var/run/wireguard/*.sock; do
    [[ -S $socket ]] && socket=${socket##*/} && printf '%s\n' "${socket%.sock}"
  done
}

_vpn() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=
  [[ $COMP_CWORD -gt 1 ]] && verb=${COMP_WORDS[1]}
  COMPREPLY=()
  case $verb in
    '')
      COMPREPLY=($(compgen -W ')" +
         verbs + " " + bash_words(program.options) + R"(' -- "$cur"))
      ;;
)" + verb_cases +
         R"(  esac
}

complete -F _vpn vpn
)";
}

std::string zsh_completions(const ProgramModel& program) {
  std::string verbs;
  std::string verb_cases;
  for (const VerbModel& verb : program.verbs) {
    verbs += "    " + quoted(zsh_text(verb.name) + ":" + zsh_text(verb.description)) + "\n";
    verb_cases += "        " + verb.name + ")\n          _arguments" +
                  zsh_arguments(verb.options, "            ") +
                  zsh_arguments(verb.positionals, "            ") + "\n          ;;\n";
  }
  return R"(#compdef vpn
# Completions of vpn for zsh; printed by 'vpn completions zsh'.
_vpn_interfaces() {
  local -a interfaces
  interfaces=(/var/run/wireguard/*.sock(N:t:r))
  compadd -a interfaces
}

_vpn() {
  local curcontext="$curcontext" state line
  local -a verbs
  verbs=(
)" + verbs +
         R"(  )
  _arguments -C)" +
         zsh_arguments(program.options, "    ") + R"( \
    '1:verb:->verb' \
    '*::argument:->argument'
  case $state in
    verb)
      _describe verb verbs
      ;;
    argument)
      case $line[1] in
)" + verb_cases +
         R"(      esac
      ;;
  esac
}

_vpn "$@"
)";
}

std::string fish_completions(const ProgramModel& program) {
  std::string text = R"(# Completions of vpn for fish; printed by 'vpn completions fish'.
function __vpn_interfaces
    for socket in /var/run/wireguard/*.sock
        string replace -r '.*/(.*)\.sock$' '$1' -- $socket
    end
end

complete -c vpn -f
)";
  for (const OptionModel& option : program.options) text += fish_option("__fish_use_subcommand", option);
  for (const VerbModel& verb : program.verbs) {
    text +=
        "complete -c vpn -n __fish_use_subcommand -a " + verb.name + " -d " + quoted(verb.description) + "\n";
  }
  for (const VerbModel& verb : program.verbs) {
    const std::string condition = "__fish_seen_subcommand_from " + verb.name;
    for (const OptionModel& option : verb.options) text += fish_option(condition, option);
    for (const OptionModel& positional : verb.positionals) text += fish_positional(condition, positional);
  }
  return text;
}

}  // namespace vpn::cli
