#include "vpn/config/uapi.h"

#include <algorithm>
#include <cerrno>
#include <limits>

#include "vpn/config/text.h"

namespace vpn::config {
namespace {

// Walks key=value lines; stops at the first that is none.
class LineWalker {
 public:
  explicit LineWalker(std::string_view text) : rest_(text) {}

  // The next line's key and value; empty at the end, or after a malformed line (then failed() is true).
  [[nodiscard]] bool next() {
    if (rest_.empty() || failed_) return false;
    const size_t end = std::min(rest_.find('\n'), rest_.size());
    const std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    ++line_;
    const size_t equals = line.find('=');
    failed_ = equals == std::string_view::npos || equals == 0;
    if (failed_) return false;
    key_ = line.substr(0, equals);
    value_ = line.substr(equals + 1);
    return true;
  }
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  [[nodiscard]] std::string_view key() const noexcept { return key_; }
  [[nodiscard]] std::string_view value() const noexcept { return value_; }
  [[nodiscard]] UapiError error(int error_number) const {
    return {error_number, line_, failed_ ? std::string() : std::string(key_)};
  }

 private:
  std::string_view rest_, key_, value_;
  int line_ = 0;
  bool failed_ = false;
};

// The errno for a line, 0 for a line that is fine.
using Verdict = int;

Verdict take_number(std::string_view value, uint64_t max, uint64_t& out) {
  const auto number = parse_number(value, max);
  if (!number) return EINVAL;
  out = *number;
  return 0;
}

template <typename T>
Verdict take(std::string_view value, std::optional<T>& out) {
  uint64_t number = 0;
  const Verdict verdict = take_number(value, std::numeric_limits<T>::max(), number);
  if (verdict == 0) out = static_cast<T>(number);
  return verdict;
}

Verdict take_true(std::string_view value, bool& out) {
  out = value == "true";
  return out ? 0 : EINVAL;
}

Verdict take_key(std::string_view value, std::optional<Secret<32>>& out) {
  out = key_from_hex(value);
  return out ? 0 : EINVAL;
}

std::optional<UdpAddress> parse_endpoint(std::string_view text, const ZoneLookup& zone) {
  const size_t percent = text.find('%');
  const size_t close = text.find(']');
  if (zone && percent != std::string_view::npos && close != std::string_view::npos && percent < close) {
    const std::string_view name = text.substr(percent + 1, close - percent - 1);
    if (!parse_number(name, UINT32_MAX)) {
      const auto index = zone(name);
      if (!index) return std::nullopt;
      std::string numeric(text.substr(0, percent + 1));
      numeric.append(std::to_string(*index)).append(text.substr(close));
      return UdpAddress::parse(numeric);
    }
  }
  return UdpAddress::parse(text);
}

Verdict take_endpoint(std::string_view value, const ZoneLookup& zone, std::optional<UdpAddress>& out) {
  out = parse_endpoint(value, zone);
  return out && out->port != 0 ? 0 : EINVAL;
}

Verdict take_allowed_ip(std::string_view value, std::vector<AllowedIpChange>& out) {
  const bool remove = value.starts_with('-');
  if (remove || value.starts_with('+')) value.remove_prefix(1);
  const auto prefix = IpPrefix::parse(value);
  if (!prefix) return EINVAL;
  out.push_back({prefix->normalized(), remove});
  return 0;
}

Verdict take_rekey_time(std::string_view value, std::optional<std::chrono::seconds>& out) {
  uint64_t number = 0;
  const Verdict verdict = take_number(value, static_cast<uint64_t>(kLongestRekeyTime.count()), number);
  if (verdict != 0 || number == 0) return EINVAL;
  out = std::chrono::seconds(number);
  return 0;
}

Verdict take_device_line(std::string_view key, std::string_view value, DeviceChange& change) {
  if (key == "private_key") return take_key(value, change.private_key);
  if (key == "listen_port") return take(value, change.listen_port);
  if (key == "fwmark") return value.empty() ? (change.fwmark = 0, 0) : take(value, change.fwmark);
  if (key == "replace_peers") return take_true(value, change.replace_peers);
  return EINVAL;
}

Verdict take_peer_line(std::string_view key, std::string_view value, const ZoneLookup& zone,
                       PeerChange& peer) {
  if (key == "remove") return take_true(value, peer.remove);
  if (key == "update_only") return take_true(value, peer.update_only);
  if (key == "preshared_key") return take_key(value, peer.preshared_key);
  if (key == "endpoint") return take_endpoint(value, zone, peer.endpoint);
  if (key == "persistent_keepalive_interval") return take(value, peer.persistent_keepalive);
  if (key == "replace_allowed_ips") return take_true(value, peer.replace_allowed_ips);
  if (key == "allowed_ip") return take_allowed_ip(value, peer.allowed_ips);
  if (key == "protocol_version") return value == "1" ? 0 : EINVAL;
  if (key == "cipher") return (peer.cipher = parse_cipher(value)) ? 0 : EINVAL;
  if (key == "rekey_after_bytes") return take(value, peer.rekey_after_bytes);
  if (key == "rekey_after_seconds") return take_rekey_time(value, peer.rekey_after_time);
  return EINVAL;
}

class Emitter {
 public:
  void line(std::string_view key, std::string_view value) {
    text_.append(key).append("=").append(value).append("\n");
  }
  void line(std::string_view key, uint64_t value) { line(key, std::to_string(value)); }
  void flag(std::string_view key, bool set) {
    if (set) line(key, "true");
  }
  template <typename T>
  void number(std::string_view key, const std::optional<T>& value) {
    if (value) line(key, static_cast<uint64_t>(*value));
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void emit_peer_change(const PeerChange& peer, Emitter& out) {
  out.line("public_key", to_hex(peer.public_key.bytes));
  out.flag("update_only", peer.update_only);
  out.flag("remove", peer.remove);
  if (peer.preshared_key) out.line("preshared_key", to_hex(peer.preshared_key->view()));
  if (peer.endpoint) out.line("endpoint", peer.endpoint->to_string());
  out.number("persistent_keepalive_interval", peer.persistent_keepalive);
  if (peer.cipher) out.line("cipher", cipher_name(*peer.cipher));
  out.number("rekey_after_bytes", peer.rekey_after_bytes);
  if (peer.rekey_after_time)
    out.line("rekey_after_seconds", static_cast<uint64_t>(peer.rekey_after_time->count()));
  out.flag("replace_allowed_ips", peer.replace_allowed_ips);
  for (const AllowedIpChange& change : peer.allowed_ips) {
    out.line("allowed_ip", (change.remove ? "-" : "") + change.prefix.to_string());
  }
}

void emit_peer(const PeerReport& peer, Emitter& out) {
  out.line("public_key", to_hex(peer.public_key.bytes));
  out.line("preshared_key", to_hex(peer.preshared_key.view()));
  out.line("protocol_version", 1);
  if (peer.endpoint) out.line("endpoint", peer.endpoint->to_string());
  out.line("last_handshake_time_sec", static_cast<uint64_t>(peer.last_handshake_seconds));
  out.line("last_handshake_time_nsec", peer.last_handshake_nanoseconds);
  out.line("tx_bytes", peer.sent_bytes);
  out.line("rx_bytes", peer.received_bytes);
  out.line("persistent_keepalive_interval", peer.persistent_keepalive);
  for (const IpPrefix& prefix : peer.allowed_ips) out.line("allowed_ip", prefix.to_string());
  if (!peer.name.empty()) out.line("name", peer.name);
  out.line("cipher", cipher_name(peer.cipher));
  out.line("rekey_after_bytes", peer.rekey_after_bytes);
  out.line("rekey_after_seconds", static_cast<uint64_t>(peer.rekey_after_time.count()));
  out.line("staged_packets", peer.staged_packets);
  out.line("roamed_count", peer.roamed_count);
  for (const SessionReport& session : peer.sessions) {
    out.line("session", session.slot + " " + (session.initiator ? "initiator " : "responder ") +
                            std::to_string(session.age.count()) + " " +
                            std::to_string(session.sent_messages));
  }
  for (const EndpointVisit& visit : peer.endpoint_history) {
    out.line("endpoint_since", std::to_string(visit.since_unix_seconds) + " " + visit.address.to_string());
  }
}

Verdict take_session(std::string_view value, std::vector<SessionReport>& out) {
  const auto words = split_list(value);
  if (words.size() != 4) return EPROTO;
  const auto age = parse_number(words[2], INT32_MAX);
  const auto sent = parse_number(words[3], UINT64_MAX);
  if (!age || !sent) return EPROTO;
  out.push_back({std::string(words[0]), words[1] == "initiator", std::chrono::seconds(*age), *sent});
  return 0;
}

Verdict take_visit(std::string_view value, const ZoneLookup& zone, std::vector<EndpointVisit>& out) {
  const auto words = split_list(value);
  if (words.size() != 2) return EPROTO;
  const auto since = parse_number(words[0], INT64_MAX);
  const auto address = parse_endpoint(words[1], zone);
  if (!since || !address) return EPROTO;
  out.push_back({*address, static_cast<int64_t>(*since)});
  return 0;
}

template <typename T>
Verdict take_report_number(std::string_view value, T& out) {
  uint64_t number = 0;
  if (take_number(value, static_cast<uint64_t>(std::numeric_limits<T>::max()), number) != 0) return EPROTO;
  out = static_cast<T>(number);
  return 0;
}

Verdict take_device_report_line(std::string_view key, std::string_view value, DeviceReport& report) {
  if (key == "private_key") return take_key(value, report.private_key) == 0 ? 0 : EPROTO;
  if (key == "listen_port") return take_report_number(value, report.listen_port);
  if (key == "fwmark") return take_report_number(value, report.fwmark);
  if (key == "version") return report.version = value, 0;
  if (key == "tun_offload") return report.tun_offload = value, 0;
  if (key == "udp_offload") return report.udp_offload = value, 0;
  if (key.starts_with("count_")) {
    uint64_t count = 0;
    if (take_report_number(value, count) != 0) return EPROTO;
    report.counters.emplace_back(std::string(key.substr(6)), count);
  }
  return 0;
}

Verdict take_peer_report_line(std::string_view key, std::string_view value, const ZoneLookup& zone,
                              PeerReport& peer) {
  if (key == "preshared_key") {
    const auto bytes = key_from_hex(value);
    if (bytes) peer.preshared_key = *bytes;
    return bytes ? 0 : EPROTO;
  }
  if (key == "endpoint") return take_endpoint(value, zone, peer.endpoint) == 0 ? 0 : EPROTO;
  if (key == "last_handshake_time_sec") return take_report_number(value, peer.last_handshake_seconds);
  if (key == "last_handshake_time_nsec") return take_report_number(value, peer.last_handshake_nanoseconds);
  if (key == "tx_bytes") return take_report_number(value, peer.sent_bytes);
  if (key == "rx_bytes") return take_report_number(value, peer.received_bytes);
  if (key == "persistent_keepalive_interval") return take_report_number(value, peer.persistent_keepalive);
  if (key == "allowed_ip") {
    const auto prefix = IpPrefix::parse(value);
    if (prefix) peer.allowed_ips.push_back(*prefix);
    return prefix ? 0 : EPROTO;
  }
  if (key == "name") return peer.name = value, 0;
  if (key == "cipher") {
    const auto cipher = parse_cipher(value);
    if (cipher) peer.cipher = *cipher;
    return cipher ? 0 : EPROTO;
  }
  if (key == "rekey_after_bytes") return take_report_number(value, peer.rekey_after_bytes);
  if (key == "rekey_after_seconds") {
    uint32_t seconds = 0;
    const Verdict verdict = take_report_number(value, seconds);
    if (verdict == 0) peer.rekey_after_time = std::chrono::seconds(seconds);
    return verdict;
  }
  if (key == "staged_packets") return take_report_number(value, peer.staged_packets);
  if (key == "roamed_count") return take_report_number(value, peer.roamed_count);
  if (key == "session") return take_session(value, peer.sessions);
  if (key == "endpoint_since") return take_visit(value, zone, peer.endpoint_history);
  return 0;
}

}  // namespace

Result<DeviceChange, UapiError> parse_set(std::string_view lines, const ZoneLookup& zone) {
  DeviceChange change;
  LineWalker walker(lines);
  while (walker.next()) {
    Verdict verdict = 0;
    if (walker.key() == "public_key") {
      const auto key = key_from_hex(walker.value());
      verdict = key ? 0 : EINVAL;
      if (key) change.peers.emplace_back(to_public_key(*key));
    } else if (change.peers.empty()) {
      verdict = take_device_line(walker.key(), walker.value(), change);
    } else {
      verdict = take_peer_line(walker.key(), walker.value(), zone, change.peers.back());
    }
    if (verdict != 0) return fail(walker.error(verdict));
  }
  if (walker.failed()) return fail(walker.error(EPROTO));
  return change;
}

std::string emit_set(const DeviceChange& change) {
  Emitter out;
  if (change.private_key) out.line("private_key", to_hex(change.private_key->view()));
  out.number("listen_port", change.listen_port);
  out.number("fwmark", change.fwmark);
  out.flag("replace_peers", change.replace_peers);
  for (const PeerChange& peer : change.peers) emit_peer_change(peer, out);
  return out.take();
}

std::string emit_get(const DeviceReport& report) {
  Emitter out;
  if (report.private_key) out.line("private_key", to_hex(report.private_key->view()));
  out.line("listen_port", report.listen_port);
  if (report.fwmark != 0) out.line("fwmark", report.fwmark);
  if (!report.version.empty()) out.line("version", report.version);
  if (!report.tun_offload.empty()) out.line("tun_offload", report.tun_offload);
  if (!report.udp_offload.empty()) out.line("udp_offload", report.udp_offload);
  for (const auto& [name, count] : report.counters) out.line("count_" + name, count);
  for (const PeerReport& peer : report.peers) emit_peer(peer, out);
  return out.take();
}

Result<DeviceReport, UapiError> parse_get(std::string_view lines, const ZoneLookup& zone) {
  DeviceReport report;
  LineWalker walker(lines);
  while (walker.next()) {
    Verdict verdict = 0;
    if (walker.key() == "public_key") {
      const auto key = key_from_hex(walker.value());
      verdict = key ? 0 : EPROTO;
      if (key) report.peers.emplace_back().public_key = to_public_key(*key);
    } else if (report.peers.empty()) {
      verdict = take_device_report_line(walker.key(), walker.value(), report);
    } else {
      verdict = take_peer_report_line(walker.key(), walker.value(), zone, report.peers.back());
    }
    if (verdict != 0) return fail(walker.error(verdict));
  }
  if (walker.failed()) return fail(walker.error(EPROTO));
  return report;
}

}  // namespace vpn::config
