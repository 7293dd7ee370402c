// The wg-quick file: any text is read without a crash. What is accepted says the same after writing and
// reading it again, holds nothing that a shell, a terminal or a resolver could stumble over, and keeps its
// numbers within their limits; what is refused is refused with printable lines, in the order of the lines of
// the text that they name, of which the first thing refused is one. And it means what it means to wg-quick,
// by a naive reading of that grammar.
#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "fuzz/input.h"
#include "vpn/base/check.h"
#include "vpn/config/ini.h"
#include "vpn/config/text.h"

namespace vpn {
namespace {

bool is_printable(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// RFC 1918, RFC 3927, RFC 4193, RFC 4291; an IPv4 prefix by its first two bytes, one of IPv6 by its first.
bool is_private(const IpPrefix& prefix) {
  const BytesView bytes = prefix.address.bytes();
  if (!prefix.address.is_ipv4()) {
    return (prefix.length >= 7 && (bytes[0] & 0xfe) == 0xfc) ||
           (prefix.length >= 10 && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80);
  }
  return (prefix.length >= 8 && bytes[0] == 10) ||
         (prefix.length >= 12 && bytes[0] == 172 && bytes[1] / 16 == 1) ||
         (prefix.length >= 16 && bytes[0] == 192 && bytes[1] == 168) ||
         (prefix.length >= 16 && bytes[0] == 169 && bytes[1] == 254);
}

void check_values(const config::Config& config) {
  for (const auto& domain : config.interface.dns_search) VPN_CHECK(!domain.empty() && is_printable(domain));
  VPN_CHECK(is_printable(config.interface.user));
  const config::Hooks& hooks = config.interface.hooks;
  for (const auto* commands : {&hooks.pre_up, &hooks.post_up, &hooks.pre_down, &hooks.post_down}) {
    for (const auto& command : *commands) VPN_CHECK(!command.empty() && is_printable(command));
  }
  VPN_CHECK(!config.interface.mtu || *config.interface.mtu >= 576);
  VPN_CHECK(config.interface.workers <= config::kMostWorkers);
  for (const IpPrefix& lan : config.interface.allow_lan) VPN_CHECK(is_private(lan));
  VPN_CHECK(config.interface.masquerade.find_first_of(" /%\"\\") == std::string::npos);
  for (const auto* cgroups : {&config.interface.tunnel_cgroups, &config.interface.bypass_cgroups}) {
    for (const auto& path : *cgroups) {
      VPN_CHECK(!path.empty() && is_printable(path) && path.find_first_of("\"\\ ") == std::string::npos);
      VPN_CHECK(path.find("..") == std::string::npos);
    }
  }
  for (const config::PeerConfig& peer : config.peers) {
    VPN_CHECK(is_printable(peer.name));
    VPN_CHECK(!peer.preshared_key || !peer.preshared_key->is_zero());
    VPN_CHECK(peer.rekey_after_time.count() >= 1 && peer.rekey_after_time.count() <= 120);
    for (const IpPrefix& prefix : peer.allowed_ips) VPN_CHECK(prefix == prefix.normalized());
    for (const auto& endpoint : peer.endpoints) {
      VPN_CHECK(endpoint.port != 0 && is_printable(endpoint.host));
      VPN_CHECK(config::EndpointName::parse(endpoint.to_string()) == endpoint);
    }
    VPN_CHECK(std::count_if(config.peers.begin(), config.peers.end(), [&](const config::PeerConfig& other) {
                return other.public_key == peer.public_key;
              }) == 1);
  }
}

// ── The grammar of wg-quick and wg, read naively: of a text that was accepted ──

struct KeyValue {
  std::string key;  // in lower case
  std::string value;
};
using Section = std::vector<KeyValue>;  // its header first, as a key

std::string stripped(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}
std::string lower(std::string text) {
  for (char& letter : text) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return text;
}

std::vector<Section> sections_of(const std::string& text) {
  std::vector<Section> sections;
  // A byte order mark before UTF-8 is no part of the first line.
  for (size_t at = text.starts_with("\xef\xbb\xbf") ? 3 : 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = stripped(text.substr(at, std::min(text.find('#', at), end) - at));
    at = end + 1;
    if (line.empty()) continue;
    if (line[0] == '[') {
      sections.push_back({{lower(line), ""}});
      continue;
    }
    const size_t equals = line.find('=');
    VPN_CHECK(!sections.empty() && equals != std::string::npos);
    sections.back().push_back({lower(stripped(line.substr(0, equals))), stripped(line.substr(equals + 1))});
  }
  return sections;
}

std::vector<std::string> values_of(const Section& section, const std::string& key) {
  std::vector<std::string> values;
  for (const KeyValue& pair : section) {
    if (pair.key == key) values.push_back(pair.value);
  }
  return values;
}

using Network = std::pair<std::vector<uint8_t>, unsigned>;

Network network_of(const std::string& item, bool keep_host_bits) {
  const size_t slash = item.find('/');
  const std::string address = item.substr(0, slash);
  const bool ipv6 = address.find(':') != std::string::npos;
  std::vector<uint8_t> bytes(ipv6 ? 16 : 4);
  VPN_CHECK(inet_pton(ipv6 ? AF_INET6 : AF_INET, address.c_str(), bytes.data()) == 1);
  const auto whole = static_cast<unsigned>(bytes.size() * 8);
  const auto length = slash == std::string::npos
                          ? whole
                          : static_cast<unsigned>(std::strtoul(item.c_str() + slash + 1, nullptr, 10));
  VPN_CHECK(length <= whole);
  for (unsigned bit = length; bit < whole && !keep_host_bits; ++bit)
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] & ~(0x80u >> bit % 8));
  return {bytes, length};
}

std::set<Network> networks_in(const std::vector<std::string>& values, bool keep_host_bits) {
  std::set<Network> networks;
  for (std::string value : values) {
    for (char& letter : value) letter = std::strchr(",\t\r", letter) != nullptr ? ' ' : letter;
    for (size_t at = 0; at < value.size();) {
      const size_t end = std::min(value.find(' ', at), value.size());
      if (end > at) networks.insert(network_of(value.substr(at, end - at), keep_host_bits));
      at = end + 1;
    }
  }
  return networks;
}
std::set<Network> networks_in(const std::vector<IpPrefix>& prefixes) {
  std::set<Network> networks;
  for (const IpPrefix& prefix : prefixes)
    networks.insert({{prefix.address.bytes().begin(), prefix.address.bytes().end()}, prefix.length});
  return networks;
}

unsigned long number_in(const std::vector<std::string>& values) {
  if (values.empty() || lower(values.back()) == "off") return 0;
  const bool hex = values.back().starts_with("0x") || values.back().starts_with("0X");
  return std::strtoul(values.back().c_str(), nullptr, hex ? 16 : 10);
}

void check_peer(const config::PeerConfig& peer, const Section& section) {
  VPN_CHECK(values_of(section, "publickey") == std::vector{config::to_base64(peer.public_key.bytes)});
  VPN_CHECK(networks_in(peer.allowed_ips) == networks_in(values_of(section, "allowedips"), false));
  VPN_CHECK(number_in(values_of(section, "persistentkeepalive")) == peer.persistent_keepalive);
}

void check_meaning(const config::Config& config, const std::string& text) {
  size_t peers = 0;
  for (const Section& section : sections_of(text)) {
    if (section[0].key == "[peer]") {
      VPN_CHECK(peers < config.peers.size());
      check_peer(config.peers[peers++], section);
      continue;
    }
    const config::InterfaceConfig& interface = config.interface;
    VPN_CHECK(section[0].key == "[interface]");
    VPN_CHECK(number_in(values_of(section, "listenport")) == interface.listen_port);
    VPN_CHECK(number_in(values_of(section, "fwmark")) == interface.fwmark);
    VPN_CHECK(number_in(values_of(section, "mtu")) == interface.mtu.value_or(0));
    VPN_CHECK(networks_in(interface.addresses) == networks_in(values_of(section, "address"), true));
    VPN_CHECK(values_of(section, "postup") == interface.hooks.post_up);
    VPN_CHECK(values_of(section, "predown") == interface.hooks.pre_down);
    const auto keys = values_of(section, "privatekey");
    VPN_CHECK(keys.empty() == !interface.private_key.has_value());
    if (interface.private_key) VPN_CHECK(keys[0] == config::to_base64(interface.private_key->view()));
  }
  VPN_CHECK(peers == config.peers.size());
}

// Of a text that was refused: `first` is among all that is wrong with it.
void check_errors(const Error& first, const std::vector<Error>& all, const std::string& text) {
  int line = 1;
  bool has_first = false;
  for (const Error& error : all) {
    VPN_CHECK(is_printable(error.to_string()) && !error.problem.empty() && !error.remedy.empty());
    VPN_CHECK(error.line >= line && error.line <= std::count(text.begin(), text.end(), '\n') + 1);
    line = error.line;
    has_first = has_first || error.to_string() == first.to_string();
  }
  VPN_CHECK(has_first);
}

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto config = config::parse_ini(text, "fuzz.conf");
  const std::vector<Error> errors = config::find_ini_errors(text, "fuzz.conf");
  VPN_CHECK(errors.empty() == config.has_value());
  if (!config) {
    check_errors(config.error(), errors, text);
    return 0;
  }
  check_values(*config);
  check_meaning(*config, text);
  const std::string written = config::to_ini(*config);
  const auto again = config::parse_ini(written, "again.conf");
  VPN_CHECK(again.has_value() && *again == *config);
  VPN_CHECK(config::to_ini(*again) == written);
  return 0;
}
