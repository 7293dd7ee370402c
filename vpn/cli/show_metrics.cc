#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>

#include "vpn/cli/drop_counts.h"
#include "vpn/cli/show_text.h"
#include "vpn/config/text.h"

namespace vpn::cli {
namespace {

using config::PeerReport;

// A label's value as the format has it: backslash, quote and line feed escaped.
std::string label_value(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out += '"';
}

void add_header(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  fmt::format_to(std::back_inserter(out), "# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

// One metric with a value a peer.
void add_peer_metric(std::string& out, const InterfaceReports& reports, std::string_view name,
                     std::string_view type, std::string_view help,
                     const std::function<uint64_t(const PeerReport&)>& value_of) {
  add_header(out, name, type, help);
  for (const auto& [interface, report] : reports) {
    for (const PeerReport& peer : report.peers) {
      fmt::format_to(std::back_inserter(out), "{}{{interface={},public_key=\"{}\",name={}}} {}\n", name,
                     label_value(interface), config::to_base64(peer.public_key.bytes), label_value(peer.name),
                     value_of(peer));
    }
  }
}

// One metric with a value a counter whose name begins, or does not, with "drop_".
void add_counters(std::string& out, const InterfaceReports& reports, std::string_view name, bool drops,
                  std::string_view label, std::string_view help) {
  add_header(out, name, "counter", help);
  for (const auto& [interface, report] : reports) {
    for (const auto& [counter, count] : report.counters) {
      if (counter.starts_with(kDropPrefix) != drops) continue;
      fmt::format_to(std::back_inserter(out), "{}{{interface={},{}={}}} {}\n", name, label_value(interface),
                     label, label_value(std::string_view(counter).substr(drops ? kDropPrefix.size() : 0)),
                     count);
    }
  }
}

}  // namespace

std::string show_metrics(const InterfaceReports& reports) {
  std::string out;
  add_peer_metric(out, reports, "wireguard_sent_bytes_total", "counter", "Bytes sent to the peer.",
                  [](const PeerReport& peer) { return peer.sent_bytes; });
  add_peer_metric(out, reports, "wireguard_received_bytes_total", "counter", "Bytes received from the peer.",
                  [](const PeerReport& peer) { return peer.received_bytes; });
  add_peer_metric(out, reports, "wireguard_latest_handshake_seconds", "gauge",
                  "Unix time of the latest handshake; 0: none yet.", [](const PeerReport& peer) {
                    return static_cast<uint64_t>(std::max<int64_t>(peer.last_handshake_seconds, 0));
                  });
  add_peer_metric(out, reports, "vpn_peer_sessions", "gauge", "Sessions whose keys are held: at most 3.",
                  [](const PeerReport& peer) { return peer.sessions.size(); });
  add_peer_metric(out, reports, "vpn_peer_staged_packets", "gauge", "Packets that wait for a handshake.",
                  [](const PeerReport& peer) { return peer.staged_packets; });
  add_peer_metric(out, reports, "vpn_peer_roamed_total", "counter", "How often the peer's endpoint moved.",
                  [](const PeerReport& peer) { return peer.roamed_count; });
  add_counters(out, reports, "vpn_dropped_packets_total", true, "reason",
               "Packets and messages dropped, by the reason: see protocol.md.");
  add_counters(out, reports, "vpn_events_total", false, "event",
               "What else the data path counts: datagrams sent, and what the kernel refused or lost.");
  return out;
}

}  // namespace vpn::cli
