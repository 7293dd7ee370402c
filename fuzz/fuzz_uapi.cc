// The control protocol's text, in both directions. The first byte chooses a `set` request or a `get` answer.
// What is accepted says the same after writing and reading it again; a refused `set` names its line and an
// errno, a refused `get` answer is EPROTO; allowed-IPs come out normalised and times within their limits.
#include <algorithm>
#include <cerrno>
#include <string>

#include "fuzz/input.h"
#include "vpn/base/check.h"
#include "vpn/config/uapi.h"

namespace vpn {
namespace {

std::optional<uint32_t> zone(std::string_view name) {
  return name == "eth0" ? std::optional<uint32_t>(7) : std::nullopt;
}

void check_error(const config::UapiError& error, std::string_view text) {
  VPN_CHECK(error.error_number > 0);
  VPN_CHECK(error.line >= 1 && error.line <= std::count(text.begin(), text.end(), '\n') + 1);
}

void check_set(std::string_view text) {
  const auto change = config::parse_set(text, zone);
  if (!change) {
    VPN_CHECK(change.error().error_number == EINVAL || change.error().error_number == EPROTO);
    return check_error(change.error(), text);
  }
  for (const config::PeerChange& peer : change->peers) {
    VPN_CHECK(!peer.endpoint || peer.endpoint->port != 0);
    VPN_CHECK(!peer.rekey_after_time ||
              (peer.rekey_after_time->count() >= 1 && peer.rekey_after_time->count() <= 120));
    for (const auto& allowed : peer.allowed_ips) VPN_CHECK(allowed.prefix == allowed.prefix.normalized());
  }
  const std::string written = config::emit_set(*change);
  const auto again = config::parse_set(written);
  VPN_CHECK(again.has_value() && *again == *change);
  VPN_CHECK(config::emit_set(*again) == written);
}

void check_get(std::string_view text) {
  const auto report = config::parse_get(text, zone);
  if (!report) {
    VPN_CHECK(report.error().error_number == EPROTO);
    return check_error(report.error(), text);
  }
  const std::string written = config::emit_get(*report);
  const auto again = config::parse_get(written);
  VPN_CHECK(again.has_value() && *again == *report);
  VPN_CHECK(config::emit_get(*again) == written);
}

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] == 's') {
    check_set(text);
  } else {
    check_get(text);
  }
  return 0;
}
