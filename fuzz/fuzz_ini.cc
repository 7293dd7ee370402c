// The wg-quick file: any text is read without a crash. What is accepted says the same after writing and
// reading it again, holds nothing that a shell, a terminal or a resolver could stumble over, and keeps its
// numbers within their limits; what is refused is refused with one printable line that names a line of the
// text.
#include <algorithm>
#include <string>

#include "fuzz/input.h"
#include "vpn/base/check.h"
#include "vpn/config/ini.h"

namespace vpn {
namespace {

bool is_printable(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

void check_values(const config::Config& config) {
  for (const auto& domain : config.interface.dns_search) VPN_CHECK(!domain.empty() && is_printable(domain));
  VPN_CHECK(is_printable(config.interface.user));
  const config::Hooks& hooks = config.interface.hooks;
  for (const auto* commands : {&hooks.pre_up, &hooks.post_up, &hooks.pre_down, &hooks.post_down}) {
    for (const auto& command : *commands) VPN_CHECK(!command.empty() && is_printable(command));
  }
  VPN_CHECK(!config.interface.mtu || *config.interface.mtu >= 576);
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

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto config = config::parse_ini(text, "fuzz.conf");
  if (!config) {
    const Error& error = config.error();
    VPN_CHECK(is_printable(error.to_string()) && !error.problem.empty() && !error.remedy.empty());
    VPN_CHECK(error.line >= 1 && error.line <= std::count(text.begin(), text.end(), '\n') + 1);
    return 0;
  }
  check_values(*config);
  const std::string written = config::to_ini(*config);
  const auto again = config::parse_ini(written, "again.conf");
  VPN_CHECK(again.has_value() && *again == *config);
  VPN_CHECK(config::to_ini(*again) == written);
  return 0;
}
