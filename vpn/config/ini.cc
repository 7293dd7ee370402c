#include "vpn/config/ini.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "vpn/config/text.h"

namespace vpn::config {
namespace {

// What a key's value was refused for.
struct Refusal {
  std::string problem;
  std::string remedy;
};
using Accepted = std::optional<Refusal>;  // empty: accepted

Accepted accept() {
  return std::nullopt;
}
Accepted refuse(std::string problem, std::string remedy) {
  return Refusal{std::move(problem), std::move(remedy)};
}

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

// What an error may show of a word that stands where a key's name belongs: the word when it could be such a
// name, else nothing, because it may be a secret in the wrong place ("PrivateKey AbC…=").
std::string_view showable_name(std::string_view word) {
  constexpr size_t kLongestName = 20;
  word = word.substr(0, word.find_first_of(" \t\r:"));
  const bool is_name = word.size() <= kLongestName && word.find_first_of("+/=") == std::string_view::npos &&
                       std::all_of(word.begin(), word.end(), [](char c) { return c > ' ' && c <= '~'; });
  return is_name ? word : std::string_view();
}

// Never quotes the value: it is, or was meant to be, a key.
Accepted read_key(std::string_view value, std::optional<Secret<32>>& out) {
  out = key_from_base64(value);
  if (out) return accept();
  const std::string length = std::to_string(value.size());
  return refuse(value.size() == 44 ? "not base64" : length + " characters where a key has 44",
                "give 32 bytes in base64, as 'vpn genkey' prints");
}

Accepted read_u16(std::string_view value, uint16_t& out, std::string_view what) {
  const auto number = parse_number(value, 65535);
  if (!number) return refuse(quoted(value) + " is not " + std::string(what), "give a number from 0 to 65535");
  out = static_cast<uint16_t>(*number);
  return accept();
}

Accepted read_bool(std::string_view value, bool& out) {
  const auto answer = parse_bool(value);
  if (!answer) return refuse(quoted(value) + " is neither true nor false", "write true or false");
  out = *answer;
  return accept();
}

Accepted read_prefix(std::string_view item, IpPrefix& out) {
  const auto prefix = IpPrefix::parse(item);
  if (prefix) {
    out = *prefix;
    return accept();
  }
  const size_t slash = item.find('/');
  const auto address = IpAddress::parse(item.substr(0, slash));
  if (!address) {
    return refuse(quoted(item) + " is not an IP address", "write it like 10.0.0.1/24 or fd00::1/64");
  }
  const bool ipv4 = address->is_ipv4();
  return refuse(quoted(item) + ": the prefix length of an IPv" + (ipv4 ? "4" : "6") + " address is 0 to " +
                    (ipv4 ? "32" : "128"),
                ipv4 ? "correct the length, or the address if IPv6 was meant" : "correct the length");
}

Accepted read_addresses(std::string_view value, std::vector<IpPrefix>& out) {
  for (const std::string_view item : split_list(value)) {
    IpPrefix prefix;
    if (auto refusal = read_prefix(item, prefix)) return refusal;
    if (prefix.length == 0) {
      return refuse(quoted(item) + " would make every address there is a neighbour",
                    "give the length of the tunnel's own network, as in 10.0.0.1/24 or fd00::1/64");
    }
    if (std::find(out.begin(), out.end(), prefix) != out.end())
      return refuse(quoted(item) + " is given twice", "keep one of them");
    out.push_back(prefix);
  }
  return accept();
}

// `wg` takes a prefix with bits beyond its length for its network, and says so; here 'vpn check' and the log
// do.
Accepted read_allowed_ips(std::string_view value, int line, PeerConfig& peer) {
  for (const std::string_view item : split_list(value)) {
    IpPrefix prefix;
    if (auto refusal = read_prefix(item, prefix)) return refusal;
    if (prefix != prefix.normalized() && peer.host_bits_line.number == 0) peer.host_bits_line = {line};
    peer.allowed_ips.push_back(prefix.normalized());
  }
  return accept();
}

// Of equal ones the first; there may be a country's many thousands.
void drop_repeated(std::vector<IpPrefix>& prefixes) {
  std::set<IpPrefix> seen;
  std::erase_if(prefixes, [&](const IpPrefix& prefix) { return !seen.insert(prefix).second; });
}

Accepted read_dns(std::string_view value, InterfaceConfig& interface) {
  for (const std::string_view item : split_list(value)) {
    if (const auto address = IpAddress::parse(item)) {
      interface.dns.push_back(*address);
    } else if (item.find_first_not_of("0123456789.") == std::string_view::npos ||
               item.find(':') != std::string_view::npos) {
      return refuse(quoted(item) + " is not an IP address", "give a server's address, or a search domain");
    } else if (has_control_character(item)) {
      return refuse("a control character in a search domain", "take it out");
    } else {
      interface.dns_search.emplace_back(item);
    }
  }
  return accept();
}

Accepted read_mark(std::string_view value, uint32_t& out) {
  const auto number = equal_ignoring_case(value, "off") ? 0 : parse_number(value, UINT32_MAX);
  if (!number) return refuse(quoted(value) + " is not a mark", "give a number up to 0xffffffff, or off");
  out = static_cast<uint32_t>(*number);
  return accept();
}

Accepted read_mtu(std::string_view value, std::optional<uint16_t>& out) {
  const auto number = parse_number(value, 65535);
  if (!number || *number < 576)
    return refuse(quoted(value) + " is not an MTU", "give a number from 576 to 65535");
  out = static_cast<uint16_t>(*number);
  return accept();
}

Accepted read_workers(std::string_view value, uint16_t& out) {
  const auto number = parse_number(value, kMostWorkers);
  if (!number || *number == 0) {
    return refuse(quoted(value) + " is not a number of threads",
                  "give a number from 1 to " + std::to_string(kMostWorkers));
  }
  out = static_cast<uint16_t>(*number);
  return accept();
}

Accepted read_table(std::string_view value, RouteTable& out) {
  if (equal_ignoring_case(value, "auto")) {
    out = {};
  } else if (equal_ignoring_case(value, "off")) {
    out = {RouteTable::Kind::kOff, 0};
  } else if (equal_ignoring_case(value, "main")) {
    out = {RouteTable::Kind::kNumber, 254};
  } else if (const auto number = parse_number(value, UINT32_MAX); number && *number > 0) {
    out = {RouteTable::Kind::kNumber, static_cast<uint32_t>(*number)};
  } else {
    return refuse(quoted(value) + " is not a routing table", "write auto, off, main or the table's number");
  }
  return accept();
}

Accepted read_hook(std::string_view value, std::vector<std::string>& out) {
  if (value.empty()) return refuse("no command", "give a command, or take the line out");
  if (has_control_character(value)) return refuse("a control character in a command", "take it out");
  out.emplace_back(value);
  return accept();
}

Accepted read_endpoint(std::string_view value, std::vector<EndpointName>& out) {
  const auto endpoint = EndpointName::parse(value);
  if (endpoint) {
    out.push_back(*endpoint);
    return accept();
  }
  const bool bare_ipv6 = !value.starts_with('[') && std::count(value.begin(), value.end(), ':') > 1;
  return refuse(quoted(value) + " is not an endpoint",
                bare_ipv6 ? "put the IPv6 address in brackets, like [2001:db8::1]:51820"
                          : "write host:port, like vpn.example.org:51820");
}

Accepted read_keepalive(std::string_view value, uint16_t& out) {
  if (!equal_ignoring_case(value, "off")) return read_u16(value, out, "a keepalive interval in seconds");
  out = 0;
  return accept();
}

Accepted read_rekey_time(std::string_view value, std::chrono::seconds& out) {
  const auto time = parse_seconds(value);
  if (!time || time->count() < 1 || *time > kLongestRekeyTime) {
    return refuse(quoted(value) + " is not a time from 1 s to 120 s",
                  "the protocol renews keys after 120 s at the latest");
  }
  out = *time;
  return accept();
}

Accepted read_rekey_bytes(std::string_view value, uint64_t& out) {
  const auto bytes = equal_ignoring_case(value, "off") ? 0 : parse_byte_count(value);
  if (!bytes) return refuse(quoted(value) + " is not an amount of data", "write it like 64MB, 1GiB or off");
  out = *bytes;
  return accept();
}

Accepted read_cipher(std::string_view value, Cipher& out) {
  const auto cipher = parse_cipher(value);
  if (!cipher) return refuse(quoted(value) + " is not a cipher", "write chacha20-poly1305 or aes-256-gcm");
  out = *cipher;
  return accept();
}

Accepted read_word(std::string_view value, std::string& out) {
  if (value.empty() || has_control_character(value))
    return refuse("not a name", "give a name without control characters");
  out = value;
  return accept();
}

// The fixed private and link-local ranges: a network that announces itself as anything else stays shut out
// (TunnelCrack LocalNet, CVE-2023-36672).
bool is_private_network(const IpPrefix& prefix) {
  constexpr std::string_view kPrivate[] = {"10.0.0.0/8",     "172.16.0.0/12", "192.168.0.0/16",
                                           "169.254.0.0/16", "fc00::/7",      "fe80::/10"};
  return std::any_of(std::begin(kPrivate), std::end(kPrivate), [&](std::string_view text) {
    const auto range = IpPrefix::parse(text);
    return range && range->length <= prefix.length && range->contains(prefix.address);
  });
}

Accepted read_allow_lan(std::string_view value, std::vector<IpPrefix>& out) {
  for (const std::string_view item : split_list(value)) {
    IpPrefix prefix;
    if (auto refusal = read_prefix(item, prefix)) return refusal;
    if (prefix != prefix.normalized()) {
      return refuse(quoted(item) + " has bits beyond its prefix length",
                    "write " + prefix.normalized().to_string() + ", or " + prefix.address.to_string() +
                        " for one host");
    }
    if (!is_private_network(prefix)) {
      return refuse(
          quoted(prefix.to_string()) + " is not a private network",
          "give networks inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16, fc00::/7 "
          "or fe80::/10");
    }
    out.push_back(prefix);
  }
  drop_repeated(out);
  return accept();
}

Accepted read_interface_name(std::string_view value, std::string& out) {
  if (!is_interface_name(value))
    return refuse(quoted(value) + " is not an interface's name", "give one that 'ip link' shows");
  out = value;
  return accept();
}

Accepted read_cgroup(std::string_view value, std::vector<std::string>& out) {
  if (value.starts_with('/')) value.remove_prefix(1);
  if (value.ends_with('/')) value.remove_suffix(1);
  const bool has_other =
      value.find_first_of("\"\\ \t") != std::string_view::npos || has_control_character(value);
  if (value.empty() || value.size() > 512 || has_other || value.find("..") != std::string_view::npos) {
    return refuse(quoted(value) + " is not the path of a cgroup",
                  "give one below the root of the cgroup2 hierarchy, like user.slice/browser.scope");
  }
  out.emplace_back(value);
  return accept();
}

enum class Repeat : uint8_t { kOnce, kMany };

template <typename Target>
struct KeyRule {
  std::string_view key;
  Repeat repeat;
  Accepted (*read)(std::string_view value, int line, Target& target);
};

using Text = std::string_view;

constexpr KeyRule<InterfaceConfig> kInterfaceKeys[] = {
    {"PrivateKey", Repeat::kOnce, [](Text v, int, InterfaceConfig& i) { return read_key(v, i.private_key); }},
    {"ListenPort", Repeat::kOnce,
     [](Text v, int line, InterfaceConfig& i) {
       i.listen_port_line = {line};
       return read_u16(v, i.listen_port, "a port");
     }},
    {"FwMark", Repeat::kOnce, [](Text v, int, InterfaceConfig& i) { return read_mark(v, i.fwmark); }},
    {"Address", Repeat::kMany,
     [](Text v, int, InterfaceConfig& i) { return read_addresses(v, i.addresses); }},
    {"MTU", Repeat::kOnce, [](Text v, int, InterfaceConfig& i) { return read_mtu(v, i.mtu); }},
    {"DNS", Repeat::kMany, [](Text v, int, InterfaceConfig& i) { return read_dns(v, i); }},
    {"Table", Repeat::kOnce, [](Text v, int, InterfaceConfig& i) { return read_table(v, i.table); }},
    {"PreUp", Repeat::kMany, [](Text v, int, InterfaceConfig& i) { return read_hook(v, i.hooks.pre_up); }},
    {"PostUp", Repeat::kMany, [](Text v, int, InterfaceConfig& i) { return read_hook(v, i.hooks.post_up); }},
    {"PreDown", Repeat::kMany,
     [](Text v, int, InterfaceConfig& i) { return read_hook(v, i.hooks.pre_down); }},
    {"PostDown", Repeat::kMany,
     [](Text v, int, InterfaceConfig& i) { return read_hook(v, i.hooks.post_down); }},
    {"SaveConfig", Repeat::kOnce,
     [](Text v, int, InterfaceConfig& i) { return read_bool(v, i.save_config); }},
    {"User", Repeat::kOnce, [](Text v, int, InterfaceConfig& i) { return read_word(v, i.user); }},
    {"Workers", Repeat::kOnce, [](Text v, int, InterfaceConfig& i) { return read_workers(v, i.workers); }},
    {"TunOffload", Repeat::kOnce,
     [](Text v, int, InterfaceConfig& i) { return read_bool(v, i.tun_offload); }},
    {"UdpOffload", Repeat::kOnce,
     [](Text v, int, InterfaceConfig& i) { return read_bool(v, i.udp_offload); }},
    {"KillSwitch", Repeat::kOnce,
     [](Text v, int line, InterfaceConfig& i) {
       i.kill_switch_line = {line};
       return read_bool(v, i.kill_switch);
     }},
    {"AllowLan", Repeat::kMany,
     [](Text v, int, InterfaceConfig& i) { return read_allow_lan(v, i.allow_lan); }},
    {"Gateway", Repeat::kOnce, [](Text v, int, InterfaceConfig& i) { return read_bool(v, i.gateway); }},
    {"Masquerade", Repeat::kOnce,
     [](Text v, int line, InterfaceConfig& i) {
       i.masquerade_line = {line};
       return read_interface_name(v, i.masquerade);
     }},
    {"ClientToClient", Repeat::kOnce,
     [](Text v, int, InterfaceConfig& i) { return read_bool(v, i.client_to_client); }},
    {"TunnelCgroup", Repeat::kMany,
     [](Text v, int line, InterfaceConfig& i) {
       i.cgroup_line = {line};
       return read_cgroup(v, i.tunnel_cgroups);
     }},
    {"BypassCgroup", Repeat::kMany,
     [](Text v, int line, InterfaceConfig& i) {
       i.cgroup_line = {line};
       return read_cgroup(v, i.bypass_cgroups);
     }},
};

constexpr KeyRule<PeerConfig> kPeerKeys[] = {
    {"PublicKey", Repeat::kOnce,
     [](Text v, int, PeerConfig& p) {
       std::optional<Secret<32>> bytes;
       Accepted refusal = read_key(v, bytes);
       if (bytes) p.public_key = to_public_key(*bytes);
       return refusal;
     }},
    {"PresharedKey", Repeat::kOnce,
     [](Text v, int, PeerConfig& p) {
       Accepted refusal = read_key(v, p.preshared_key);
       if (p.preshared_key && p.preshared_key->is_zero()) p.preshared_key.reset();  // zeros mean none
       return refusal;
     }},
    {"AllowedIPs", Repeat::kMany,
     [](Text v, int line, PeerConfig& p) { return read_allowed_ips(v, line, p); }},
    {"Endpoint", Repeat::kMany,
     [](Text v, int line, PeerConfig& p) {
       if (p.endpoints.empty()) p.endpoint_line = {line};
       return read_endpoint(v, p.endpoints);
     }},
    {"PersistentKeepalive", Repeat::kOnce,
     [](Text v, int, PeerConfig& p) { return read_keepalive(v, p.persistent_keepalive); }},
    {"Name", Repeat::kOnce, [](Text v, int, PeerConfig& p) { return read_word(v, p.name); }},
    {"Cipher", Repeat::kOnce, [](Text v, int, PeerConfig& p) { return read_cipher(v, p.cipher); }},
    {"RekeyAfterBytes", Repeat::kOnce,
     [](Text v, int, PeerConfig& p) { return read_rekey_bytes(v, p.rekey_after_bytes); }},
    {"RekeyAfterTime", Repeat::kOnce,
     [](Text v, int, PeerConfig& p) { return read_rekey_time(v, p.rekey_after_time); }},
};

template <typename Target, size_t N>
std::string known_keys(const KeyRule<Target> (&rules)[N]) {
  std::string text;
  for (const auto& rule : rules) text += (text.empty() ? "" : ", ") + std::string(rule.key);
  return text;
}

class IniParser {
 public:
  // Reads on after an error until there are `most_errors`.
  IniParser(std::string_view file, size_t most_errors) : file_(file), most_errors_(most_errors) {}

  void parse(std::string_view text) {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";  // some editors put it before UTF-8
    if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
    if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
      line_ =
          static_cast<int>(std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(zero), '\n')) + 1;
      return report("", "is no text, or UTF-16", "save it as UTF-8");
    }
    while (!text.empty() && !is_done()) {
      const size_t end = std::min(text.find('\n'), text.size());
      ++line_;
      take_line(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    if (!is_done()) finish_peer();
  }
  [[nodiscard]] std::vector<Error>& errors() noexcept { return errors_; }
  [[nodiscard]] Config& config() noexcept { return config_; }

 private:
  // kSkipped: after a header or key that has been reported, where every further line would be an error for
  // the same cause.
  enum class Section : uint8_t { kNone, kInterface, kPeer, kSkipped };

  void take_line(std::string_view raw) {
    const std::string_view line = trim(raw.substr(0, raw.find('#')));
    if (line.empty()) return;
    if (line.front() == '[') return begin_section(line);
    const size_t equals = line.find('=');
    const std::string_view key = trim(line.substr(0, equals));
    if (equals == std::string_view::npos) {
      return report(showable_name(key), "no '=' in the line", "write Key = value");
    }
    const std::string_view value = trim(line.substr(equals + 1));
    switch (section_) {
      case Section::kNone:
        section_ = Section::kSkipped;
        return report(showable_name(key), "a key before any section", "begin the file with [Interface]");
      case Section::kSkipped:
        return;
      case Section::kInterface:
        return take_key(kInterfaceKeys, key, value, config_.interface);
      case Section::kPeer:
        return take_key(kPeerKeys, key, value, config_.peers.back());
    }
  }

  void begin_section(std::string_view name) {
    finish_peer();
    if (is_done()) return;
    seen_.clear();
    has_wrong_key_ = false;
    if (equal_ignoring_case(name, "[Interface]")) {
      if (has_interface_) report("", "a second [Interface]", "keep one; every further section is a [Peer]");
      has_interface_ = true;
      section_ = Section::kInterface;
    } else if (equal_ignoring_case(name, "[Peer]")) {
      section_ = Section::kPeer;
      config_.peers.emplace_back().line = {line_};
    } else {
      section_ = Section::kSkipped;
      report("", "unknown section " + quoted(name), "the sections are [Interface] and [Peer]");
    }
  }

  template <typename Target, size_t N>
  void take_key(const KeyRule<Target> (&rules)[N], std::string_view key, std::string_view value,
                Target& target) {
    const auto rule = std::find_if(std::begin(rules), std::end(rules), [&](const auto& candidate) {
      return equal_ignoring_case(candidate.key, key);
    });
    if (rule == std::end(rules))
      return report(showable_name(key), "unknown key", "the keys here are " + known_keys(rules));
    if (!seen_.insert(rule->key).second && rule->repeat == Repeat::kOnce) {
      return report(rule->key, "given twice", "keep one of them");
    }
    if (const Accepted refusal = rule->read(value, line_, target)) {
      if (rule->key == "PublicKey") has_wrong_key_ = true;
      report(rule->key, refusal->problem, refusal->remedy);
    }
  }

  // Called where a section ends: a peer must by now have its key, and be the only one with it.
  void finish_peer() {
    if (section_ != Section::kPeer || has_wrong_key_) return;
    PeerConfig& peer = config_.peers.back();
    drop_repeated(peer.allowed_ips);
    const auto fail_peer = [&](std::string_view key, std::string problem, std::string remedy) {
      report_at(peer.line.number, key, std::move(problem), std::move(remedy));
    };
    if (seen_.count("PublicKey") == 0)
      return fail_peer("PublicKey", "missing in this [Peer]", "add the peer's public key");
    const auto [first, is_new] = peer_lines_.emplace(peer.public_key, peer.line.number);
    if (!is_new) {
      fail_peer("PublicKey", "the peer at line " + std::to_string(first->second) + " has this key too",
                "merge the two, or correct the key");
    }
  }

  void report(std::string_view key, std::string problem, std::string remedy) {
    report_at(line_, key, std::move(problem), std::move(remedy));
  }
  void report_at(int line, std::string_view key, std::string problem, std::string remedy) {
    errors_.push_back({file_, line, std::string(key), std::move(problem), std::move(remedy)});
  }
  [[nodiscard]] bool is_done() const noexcept { return errors_.size() >= most_errors_; }

  std::string file_;
  size_t most_errors_;
  int line_ = 0;
  Section section_ = Section::kNone;
  bool has_interface_ = false;
  bool has_wrong_key_ = false;       // this [Peer]'s PublicKey has been reported
  std::set<std::string_view> seen_;  // keys given in this section
  std::map<PublicKey, int> peer_lines_;
  Config config_;
  std::vector<Error> errors_;
};

class IniWriter {
 public:
  void section(std::string_view name) { text_ += (text_.empty() ? "[" : "\n[") + std::string(name) + "]\n"; }
  void line(std::string_view key, std::string_view value) {
    text_.append(key).append(" = ").append(value).append("\n");
  }
  template <typename Items, typename ToText>
  void list(std::string_view key, const Items& items, ToText to_text) {
    std::string value;
    for (const auto& item : items) value += (value.empty() ? "" : ", ") + std::string(to_text(item));
    if (!value.empty()) line(key, value);
  }
  void lines(std::string_view key, const std::vector<std::string>& values) {
    for (const std::string& value : values) line(key, value);
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string table_text(const RouteTable& table) {
  return table.kind == RouteTable::Kind::kOff ? "off" : std::to_string(table.number);
}

void write_interface(const InterfaceConfig& interface, IniWriter& out) {
  const auto prefix_text = [](const IpPrefix& prefix) { return prefix.to_string(); };
  out.section("Interface");
  if (interface.private_key) out.line("PrivateKey", to_base64(interface.private_key->view()));
  if (interface.listen_port != 0) out.line("ListenPort", std::to_string(interface.listen_port));
  if (interface.fwmark != 0) out.line("FwMark", std::to_string(interface.fwmark));
  out.list("Address", interface.addresses, prefix_text);
  if (interface.mtu) out.line("MTU", std::to_string(*interface.mtu));
  out.list("DNS", interface.dns, [](const IpAddress& address) { return address.to_string(); });
  out.list("DNS", interface.dns_search, [](const std::string& domain) { return domain; });
  if (interface.table.kind != RouteTable::Kind::kAuto) out.line("Table", table_text(interface.table));
  out.lines("PreUp", interface.hooks.pre_up);
  out.lines("PostUp", interface.hooks.post_up);
  out.lines("PreDown", interface.hooks.pre_down);
  out.lines("PostDown", interface.hooks.post_down);
  if (interface.save_config) out.line("SaveConfig", "true");
  if (!interface.user.empty()) out.line("User", interface.user);
  if (interface.workers != 0) out.line("Workers", std::to_string(interface.workers));
  if (!interface.tun_offload) out.line("TunOffload", "off");
  if (!interface.udp_offload) out.line("UdpOffload", "off");
  if (interface.kill_switch) out.line("KillSwitch", "on");
  out.list("AllowLan", interface.allow_lan, prefix_text);
  if (interface.gateway) out.line("Gateway", "on");
  if (!interface.masquerade.empty()) out.line("Masquerade", interface.masquerade);
  if (!interface.client_to_client) out.line("ClientToClient", "off");
  out.lines("TunnelCgroup", interface.tunnel_cgroups);
  out.lines("BypassCgroup", interface.bypass_cgroups);
}

void write_peer(const PeerConfig& peer, IniWriter& out) {
  out.section("Peer");
  if (!peer.name.empty()) out.line("Name", peer.name);
  out.line("PublicKey", to_base64(peer.public_key.bytes));
  if (peer.preshared_key) out.line("PresharedKey", to_base64(peer.preshared_key->view()));
  out.list("AllowedIPs", peer.allowed_ips, [](const IpPrefix& prefix) { return prefix.to_string(); });
  for (const EndpointName& endpoint : peer.endpoints) out.line("Endpoint", endpoint.to_string());
  if (peer.persistent_keepalive != 0)
    out.line("PersistentKeepalive", std::to_string(peer.persistent_keepalive));
  if (peer.cipher != Cipher::kChaCha20Poly1305) out.line("Cipher", cipher_name(peer.cipher));
  if (peer.rekey_after_bytes != 0) out.line("RekeyAfterBytes", std::to_string(peer.rekey_after_bytes));
  if (peer.rekey_after_time != kLongestRekeyTime) {
    out.line("RekeyAfterTime", std::to_string(peer.rekey_after_time.count()) + "s");
  }
}

}  // namespace

Result<Config, Error> parse_ini(std::string_view text, std::string_view file) {
  IniParser parser(file, 1);
  parser.parse(text);
  if (!parser.errors().empty()) return fail(std::move(parser.errors().front()));
  return std::move(parser.config());
}

std::vector<Error> find_ini_errors(std::string_view text, std::string_view file) {
  IniParser parser(file, std::numeric_limits<size_t>::max());
  parser.parse(text);
  std::vector<Error> errors = std::move(parser.errors());
  std::stable_sort(errors.begin(), errors.end(),
                   [](const Error& a, const Error& b) { return a.line < b.line; });
  return errors;
}

std::vector<IniKey> ini_keys() {
  std::vector<IniKey> keys;
  for (const auto& rule : kInterfaceKeys)
    keys.push_back({"Interface", rule.key, rule.repeat == Repeat::kMany});
  for (const auto& rule : kPeerKeys) keys.push_back({"Peer", rule.key, rule.repeat == Repeat::kMany});
  return keys;
}

std::string to_ini(const Config& config) {
  IniWriter out;
  write_interface(config.interface, out);
  for (const PeerConfig& peer : config.peers) write_peer(peer, out);
  return out.take();
}

}  // namespace vpn::config
