#include "vpn/cli/manual.h"

#include <sstream>

#include "vpn/config/ini.h"
#include "vpn/config/key_docs.h"

namespace vpn::cli {
namespace {

// Text that roff prints as it is.
std::string roff(std::string_view text) {
  std::string result;
  for (const char character : text) {
    if (character == '\\') {
      result += "\\e";
    } else if (character == '-') {
      result += "\\-";
    } else {
      result += character;
    }
  }
  return !result.empty() && (result.front() == '.' || result.front() == '\'') ? "\\&" + result : result;
}

class Page {
 public:
  Page(const char* title, const char* section, const ProgramModel& program) {
    text_ = std::string(".\\\" Made from the program itself by 'vpn_docs'; to be changed there.\n.TH ") +
            title + " " + section + " \"\" \"vpn " + program.version + "\" \"\"\n";
  }
  Page& section(const std::string& title) { return raw(".SH " + title); }
  Page& subsection(const std::string& title) { return raw(".SS " + roff(title)); }
  Page& paragraph(std::string_view text) { return raw(".PP\n" + roff(text)); }
  Page& line(std::string_view text) { return raw(roff(text)); }
  // A bold term with the text that explains it.
  Page& item(const std::string& term, std::string_view text) {
    return raw(".TP\n\\fB" + roff(term) + "\\fR\n" + roff(text));
  }
  Page& example(std::string_view text) {
    raw(".PP\n.RS 4\n.nf");
    std::istringstream lines{std::string(text)};
    for (std::string one; std::getline(lines, one);) raw(roff(one));
    return raw(".fi\n.RE");
  }
  Page& line_break() { return raw(".br"); }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  Page& raw(const std::string& text) {
    text_ += text + "\n";
    return *this;
  }
  std::string text_;
};

std::string sentence(std::string text) {
  if (!text.empty() && text.back() != '.') text += '.';
  return text;
}

std::string option_term(const OptionModel& option) {
  std::string term;
  for (const std::string& name : option.names) term += (term.empty() ? "" : ", ") + name;
  if (!option.value.empty()) term += (term.empty() ? "" : " ") + option.value;
  return term;
}

std::string option_text(const OptionModel& option) {
  std::string text = sentence(option.description);
  if (option.required && !option.names.empty()) text += " Required.";
  if (!option.default_value.empty()) text += " Default: " + option.default_value + ".";
  if (!option.environment.empty()) text += " Environment: " + option.environment + ".";
  return text;
}

std::string usage(const ProgramModel& program, const VerbModel& verb) {
  std::string text = program.name + " " + verb.name;
  for (const OptionModel& option : verb.options) {
    if (option.required) text += " " + option_term(option);
  }
  text += " [OPTIONS]";
  for (const OptionModel& positional : verb.positionals) {
    text += positional.required ? " " + positional.value : " [" + positional.value + "]";
  }
  return text;
}

constexpr std::string_view kExample = "Example: ";

void add_footer(const std::string& footer, Page& page) {
  std::istringstream lines(footer);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(kExample)) {
      page.example(line.substr(kExample.size()));
    } else if (!line.empty()) {
      page.paragraph(line);
    }
  }
}

void add_verb(const ProgramModel& program, const VerbModel& verb, Page& page) {
  page.subsection(usage(program, verb)).line(sentence(verb.description));
  for (const OptionModel& positional : verb.positionals)
    page.item(option_term(positional), option_text(positional));
  for (const OptionModel& option : verb.options) {
    if (option.names.back() != "--help")
      page.item(option_term(option), option_text(option));  // said once, above
  }
  add_footer(verb.footer, page);
}

// A server and one client, in keys that every WireGuard knows.
constexpr char kExampleFile[] = R"([Interface]
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
ListenPort = 51820
Address = 10.0.0.1/24, fd00::1/64

# Ann's laptop
[Peer]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
AllowedIPs = 10.0.0.2/32, fd00::2/128
)";

constexpr char kFormat[] =
    "The file is that of wg-quick(8): sections, one [Interface] and a [Peer] for each peer, of lines KEY = "
    "VALUE. Keys and "
    "section names are read without regard to case. '#' begins a comment, anywhere in a line. Keys that take "
    "a list may be "
    "given several times, and separate their items by commas or blanks.";
constexpr char kRules[] =
    "An unknown key, a value that does not parse, a key given twice where one is meant, or a second peer "
    "with the same key "
    "is an error that names the file, the line, the key and the remedy; nothing is applied then. 'vpn check "
    "FILE' shows "
    "all of them. The file holds private keys: its mode should be 0600.";
constexpr char kAddition[] = "wg and wg-quick do not know this key.";

bool is_repeatable(const config::KeyDoc& doc) {
  for (const config::IniKey& key : config::ini_keys()) {
    if (key.section == doc.section && key.key == doc.key) return key.repeatable;
  }
  return false;
}

std::string code(std::string_view text) {
  return "`" + std::string(text) + "`";
}

std::string table_cell(std::string text) {
  for (size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2))
    text.replace(at, 1, "\\|");
  return text;
}

}  // namespace

std::string vpn_8(const ProgramModel& program) {
  Page page("VPN", "8", program);
  page.section("NAME").line("vpn - " + program.description);
  page.section("SYNOPSIS");
  for (const VerbModel& verb : program.verbs) page.line(usage(program, verb)).line_break();
  page.line("vpn-wireguard INTERFACE");
  page.section("DESCRIPTION")
      .line(
          "vpn brings up tunnels that speak the WireGuard protocol, in user space. It reads the files of "
          "wg-quick(8), and "
          "wg(8) works on its interfaces. Each interface has a daemon of its own.")
      .paragraph("Under the name vpn-wireguard it stands in for another userspace WireGuard:")
      .example("WG_QUICK_USERSPACE_IMPLEMENTATION=vpn-wireguard wg-quick up wg0");
  page.section("OPTIONS");
  for (const OptionModel& option : program.options) page.item(option_term(option), option_text(option));
  page.section("VERBS");
  for (const VerbModel& verb : program.verbs) add_verb(program, verb, page);
  page.section("EXIT STATUS")
      .item("0", "All is fine.")
      .item("1",
            "It could not be done, or the input is wrong; one line on standard error says what, where, and "
            "the remedy.")
      .item("2", "The command line is wrong.");
  page.section("FILES")
      .item("/etc/wireguard/INTERFACE.conf", "Configurations, see vpn.conf(5).")
      .item("/var/run/wireguard/INTERFACE.sock", "The control socket of a running interface.")
      .item("/var/lib/vpn/INTERFACE.state",
            "The greatest handshake time stamp sent, so that a clock that steps back locks nobody out.")
      .item("/var/log/vpn/INTERFACE.log",
            "The log of a daemon in the background where the system has no journal; elsewhere 'journalctl -t "
            "vpn' shows it. It begins anew at 4 MiB, and what it held is then in INTERFACE.1.log.");
  page.section("SEE ALSO").line("vpn.conf(5), wg(8), wg-quick(8)");
  return page.take();
}

std::string vpn_conf_5(const ProgramModel& program) {
  Page page("VPN.CONF", "5", program);
  page.section("NAME").line("vpn.conf - configuration of a tunnel of vpn(8)");
  page.section("SYNOPSIS").line("/etc/wireguard/INTERFACE.conf");
  page.section("DESCRIPTION").line(kFormat).paragraph(kRules);
  std::string_view section;
  for (const config::KeyDoc& doc : config::key_docs()) {
    if (doc.section != section) page.section("[" + std::string(section = doc.section) + "]");
    std::string text = std::string(doc.meaning) + " Default: " + std::string(doc.default_value) + ".";
    if (is_repeatable(doc)) text += " May be given several times.";
    if (doc.only_here) text += std::string(" ") + kAddition;
    page.item(std::string(doc.key) + " = " + std::string(doc.value), text);
  }
  page.section("EXAMPLE").example(kExampleFile);
  page.section("SEE ALSO").line("vpn(8), wg(8), wg-quick(8)");
  return page.take();
}

std::string config_md() {
  std::string text =
      "<!-- Made from the key table of vpn/config by 'vpn_docs'; to be changed there. -->\n# "
      "Configuration\n\n" +
      std::string(kFormat) + "\n\n" + kRules + "\n\n```ini\n" + kExampleFile + "```\n";
  std::string_view section;
  for (const config::KeyDoc& doc : config::key_docs()) {
    if (doc.section != section) {
      section = doc.section;
      text += "\n## [" + std::string(section) +
              "]\n\n| key | value | meaning | default | example |\n|---|---|---|---|---|\n";
    }
    std::string meaning(doc.meaning);
    if (is_repeatable(doc)) meaning += " May be given several times.";
    if (doc.only_here) meaning += std::string(" *") + kAddition + "*";
    text += "| " + code(doc.key) + " | " + table_cell(code(doc.value)) + " | " + table_cell(meaning) + " | " +
            table_cell(std::string(doc.default_value)) + " | " + table_cell(code(doc.example)) + " |\n";
  }
  return text;
}

}  // namespace vpn::cli
