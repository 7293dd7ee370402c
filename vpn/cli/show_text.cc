#include "vpn/cli/show_text.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <optional>

#include "vpn/cli/drop_counts.h"
#include "vpn/cli/human_text.h"
#include "vpn/cli/keys.h"
#include "vpn/config/text.h"

namespace vpn::cli {
namespace {

class Lines {
 public:
  void heading(std::string_view key, std::string_view value) { add("", key, value); }
  void line(std::string_view key, std::string_view value) { add("  ", key, value); }
  void line_if(std::string_view key, std::string_view value) {
    if (!value.empty()) line(key, printable(value));
  }
  void blank() { text_ += "\n"; }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void add(std::string_view indent, std::string_view key, std::string_view value) {
    text_.append(indent).append(key).append(": ").append(value).append("\n");
  }
  std::string text_;
};

std::string hexadecimal(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%x", value);
  return text;
}

std::string session_text(const config::SessionReport& session) {
  return printable(session.slot) + ", " + duration_text(session.age) + " old, as " +
         (session.initiator ? "initiator, " : "responder, ") + count_text(session.sent_messages, "message") +
         " sent";
}

void add_peer(const config::PeerReport& peer, int64_t unix_now, Lines& out) {
  out.heading("peer", config::to_base64(peer.public_key.bytes));
  out.line_if("name", peer.name);
  if (!peer.preshared_key.is_zero()) out.line("preshared key", "(hidden)");
  if (peer.endpoint) out.line("endpoint", peer.endpoint->to_string());
  std::string allowed;
  for (const IpPrefix& prefix : peer.allowed_ips)
    allowed += (allowed.empty() ? "" : ", ") + prefix.to_string();
  out.line("allowed ips", allowed.empty() ? "(none)" : allowed);
  if (peer.last_handshake_seconds != 0) {
    out.line("latest handshake", ago_text(std::chrono::seconds(unix_now - peer.last_handshake_seconds)));
  }
  if (peer.received_bytes != 0 || peer.sent_bytes != 0) {
    out.line("transfer",
             bytes_text(peer.received_bytes) + " received, " + bytes_text(peer.sent_bytes) + " sent");
  }
  if (peer.persistent_keepalive != 0) {
    out.line("persistent keepalive",
             "every " + duration_text(std::chrono::seconds(peer.persistent_keepalive)));
  }
  if (peer.cipher != config::Cipher::kChaCha20Poly1305) out.line("cipher", config::cipher_name(peer.cipher));
  if (peer.rekey_after_bytes != 0) out.line("rekey after", bytes_text(peer.rekey_after_bytes));
  if (peer.rekey_after_time != config::kLongestRekeyTime) {
    out.line("rekey after", duration_text(peer.rekey_after_time));
  }
  for (const config::SessionReport& session : peer.sessions) out.line("session", session_text(session));
  if (peer.roamed_count != 0) out.line("roamed", count_text(peer.roamed_count, "time"));
  if (peer.staged_packets != 0)
    out.line("waiting for a handshake", count_text(peer.staged_packets, "packet"));
}

}  // namespace

std::vector<const config::PeerReport*> by_latest_handshake(const config::DeviceReport& report) {
  std::vector<const config::PeerReport*> peers;
  for (const config::PeerReport& peer : report.peers) peers.push_back(&peer);
  std::stable_sort(peers.begin(), peers.end(), [](const auto* a, const auto* b) {
    return std::pair(a->last_handshake_seconds, a->last_handshake_nanoseconds) >
           std::pair(b->last_handshake_seconds, b->last_handshake_nanoseconds);
  });
  return peers;
}

std::string show_text(const std::string& interface, const config::DeviceReport& report, int64_t unix_now) {
  Lines out;
  out.heading("interface", interface);
  if (const auto key = public_key_of(report.private_key)) {
    out.line("public key", config::to_base64(key->bytes));
    out.line("private key", "(hidden)");
  }
  if (report.listen_port != 0) out.line("listening port", std::to_string(report.listen_port));
  if (report.fwmark != 0) out.line("fwmark", hexadecimal(report.fwmark));
  out.line_if("daemon", report.version.empty() ? "" : "vpn " + report.version);
  out.line_if("tun offload", report.tun_offload);
  out.line_if("udp offload", report.udp_offload);
  for (const DropCount& drop : drop_counts(report)) {
    out.line("dropped", std::to_string(drop.count) + " " + printable(drop.name) +
                            (drop.meaning.empty() ? "" : " (" + std::string(drop.meaning) + ")"));
  }
  for (const config::PeerReport* peer : by_latest_handshake(report)) {
    out.blank();
    add_peer(*peer, unix_now, out);
  }
  return out.take();
}

}  // namespace vpn::cli
