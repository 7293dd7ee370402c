// What the daemon reads at its start of what an earlier one left. The first byte chooses
//
// - any text as a journal: no crash; one that is refused is refused by a printable line that names the first
//   line at fault; one that is accepted says the same when written and read again;
// - a life of a journal, operation by operation, cut off at any byte as a crash does: what is read is what a
//   model of the operations before the cut has standing;
// - any text as a state file: what is read is what its digits say.
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string>
#include <vector>

#include "fuzz/input.h"
#include "vpn/base/check.h"
#include "vpn/daemon/state_file.h"
#include "vpn/host/journal_text.h"

namespace vpn {
namespace {

using host::JournalContents;
using host::JournalEntry;

constexpr uint64_t kNamespace = 7;
constexpr size_t kMaxOperations = 64;

Result<JournalContents, Error> read(std::string_view text) {
  return host::read_journal(text, "fuzz.journal", kNamespace);
}

// The first `count` lines.
std::string_view lines(std::string_view text, int count) {
  size_t end = 0;
  for (; count > 0; --count) end = std::min(text.find('\n', end), text.size() - 1) + 1;
  return text.substr(0, end);
}

void check_error(const Error& error, std::string_view text) {
  const std::string told = error.to_string();
  VPN_CHECK(std::none_of(told.begin(), told.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }));
  VPN_CHECK(!error.problem.empty() && !error.remedy.empty());
  if (error.line == 0) return;  // of another namespace
  VPN_CHECK(error.line >= 1 && error.line <= std::count(text.begin(), text.end(), '\n'));
  VPN_CHECK(read(lines(text, error.line - 1)).has_value());
  const auto again = read(lines(text, error.line));
  VPN_CHECK(!again && again.error().line == error.line);
}

void check_text(std::string_view text) {
  text = text.substr(0, text.rfind('\n') + 1);  // as Journal does
  const auto contents = read(text);
  if (!contents) return check_error(contents.error(), text);
  std::string written = host::journal_header("fuzz0", kNamespace);
  for (const JournalEntry& entry : contents->standing) {
    VPN_CHECK(!host::to_string(entry.change).empty());
    VPN_CHECK(entry.id <= contents->last_id);
    written += host::announcement_line(entry);
  }
  for (const auto& [name, addresses] : contents->addresses) written += host::address_line(name, addresses);
  const auto again = read(written);
  VPN_CHECK(again && again->standing == contents->standing && again->addresses == contents->addresses);
}

// ── A journal's life ──

std::string text_from(fuzz::Input& input) {
  std::string text;
  for (size_t left = input.take<uint8_t>() % 12; left > 0; --left)
    text += static_cast<char>(input.take<uint8_t>() & 0x7f);
  return text;
}

IpPrefix prefix_from(fuzz::Input& input) {
  std::array<uint8_t, 16> bytes{};
  const bool ipv4 = input.flag();
  input.fill(MutableBytes(bytes).first(ipv4 ? 4 : 16));
  const auto length = static_cast<uint8_t>(input.take<uint8_t>() % (ipv4 ? 33 : 129));
  return {ipv4 ? IpAddress::ipv4(fixed_view<4>(bytes)) : IpAddress::ipv6(bytes), length};
}

host::HostChange change_from(fuzz::Input& input) {
  switch (input.take<uint8_t>() % 6) {
    case 0: {
      const IpPrefix destination = prefix_from(input);
      return host::AddRoute{destination, input.take<uint32_t>(),
                            static_cast<host::RouteKind>(input.take<uint8_t>() % 3)};
    }
    case 1: {
      const IpFamily family = input.flag() ? IpFamily::kIpv4 : IpFamily::kIpv6;
      const auto mark = input.take<uint32_t>();
      return host::AddMarkRule{family, mark, input.take<uint32_t>(), input.flag()};
    }
    case 2: {
      const std::string name = text_from(input);
      return host::SetSysctl{name, text_from(input)};
    }
    case 3: {
      host::SetFirewall firewall;
      firewall.spec.interface = text_from(input);
      firewall.spec.kill_switch = input.flag();
      if (input.flag()) firewall.spec.own_addresses.push_back(prefix_from(input).address);
      return firewall;
    }
    case 4:
      return host::SetDns{};
    default:
      return host::AddAddress{prefix_from(input)};
  }
}

// One line, and what it does to what stands.
std::string operate(fuzz::Input& input, JournalContents& contents) {
  const auto what = input.take<uint8_t>();
  if (what % 4 == 0 && !contents.standing.empty()) {
    const size_t at = what / 4 % contents.standing.size();
    const uint64_t id = contents.standing[at].id;
    contents.standing.erase(contents.standing.begin() + static_cast<std::ptrdiff_t>(at));
    return host::undone_line(id);
  }
  if (what % 4 == 1) {
    const std::string name = text_from(input);
    return host::address_line(name, contents.addresses[name] = text_from(input));
  }
  JournalEntry entry{contents.last_id + 1, change_from(input), text_from(input)};
  if (std::holds_alternative<host::AddAddress>(entry.change)) {
    VPN_CHECK(host::announcement_line(entry).empty());
    return "";
  }
  contents.last_id = entry.id;
  contents.standing.push_back(entry);
  return host::announcement_line(entry);
}

void check_life(fuzz::Input& input) {
  const auto cut = input.take<uint16_t>();
  const std::string header = host::journal_header(text_from(input), kNamespace);
  std::string text = header;
  JournalContents now;
  std::vector<std::pair<size_t, JournalContents>> past{{header.size(), now}};  // after so many bytes
  for (size_t count = 0; count < kMaxOperations && !input.empty(); ++count) {
    const std::string line = operate(input, now);
    VPN_CHECK(line.empty() || line.find('\n') == line.size() - 1);
    text += line;
    past.emplace_back(text.size(), now);
  }
  text.resize(std::max(header.size(), text.size() - cut % text.size()));
  const auto contents = read(std::string_view(text).substr(0, text.rfind('\n') + 1));
  const auto last = std::find_if(past.rbegin(), past.rend(),
                                 [&](const auto& moment) { return moment.first <= text.size(); });
  VPN_CHECK(contents && *contents == last->second);
}

// What the host gives us as it is, a sysctl's value, say, must not end us, nor make two lines of one.
void check_raw(std::string raw) {
  for (const std::string& line : {host::journal_header(raw, kNamespace), host::address_line(raw, raw),
                                  host::announcement_line({1, host::SetSysctl{raw, raw}, raw})}) {
    VPN_CHECK(line.find('\n') == line.size() - 1);
    VPN_CHECK(read(host::journal_header("", kNamespace) + line).has_value());
  }
}

void check_state(std::string_view text) {
  const auto stamp = daemon::StateFile::parse(text);
  const bool is_hex = text.size() >= 24 && std::all_of(text.begin(), text.begin() + 24,
                                                       [](unsigned char c) { return std::isxdigit(c) != 0; });
  VPN_CHECK(stamp.has_value() == is_hex);
  if (!stamp) return;
  for (size_t at = 0; at < stamp->size(); ++at) {
    const std::string digits(text.substr(2 * at, 2));
    VPN_CHECK((*stamp)[at] == std::strtoul(digits.c_str(), nullptr, 16));
  }
  VPN_CHECK(daemon::StateFile::parse(daemon::StateFile::to_text(*stamp)) == stamp);
}

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  if (size == 0) return 0;
  fuzz::Input input({data + 1, size - 1});
  const std::string text(data + 1, data + size);
  if (data[0] == 'o') {
    check_life(input);
  } else if (data[0] == 'r') {
    check_raw(text);
  } else if (data[0] == 's') {
    check_state(text);
  } else {
    check_text(text);
  }
  return 0;
}
