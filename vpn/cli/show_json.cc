#include <nlohmann/json.hpp>

#include "vpn/cli/keys.h"
#include "vpn/cli/show_text.h"
#include "vpn/config/text.h"

namespace vpn::cli {
namespace {

using Json = nlohmann::ordered_json;

template <typename T, typename ToJson>
Json list(const std::vector<T>& items, ToJson to_json) {
  Json array = Json::array();
  for (const T& item : items) array.push_back(to_json(item));
  return array;
}

Json session_json(const config::SessionReport& session) {
  return {{"slot", session.slot},
          {"role", session.initiator ? "initiator" : "responder"},
          {"age_seconds", session.age.count()},
          {"sent_messages", session.sent_messages}};
}

Json visit_json(const config::EndpointVisit& visit) {
  return {{"endpoint", visit.address.to_string()}, {"since", visit.since_unix_seconds}};
}

Json peer_json(const config::PeerReport& peer) {
  const bool met = peer.last_handshake_seconds != 0;
  return {{"public_key", config::to_base64(peer.public_key.bytes)},
          {"name", peer.name.empty() ? Json() : Json(peer.name)},
          {"preshared_key_set", !peer.preshared_key.is_zero()},
          {"endpoint", peer.endpoint ? Json(peer.endpoint->to_string()) : Json()},
          {"allowed_ips", list(peer.allowed_ips, [](const IpPrefix& prefix) { return prefix.to_string(); })},
          {"latest_handshake", met ? Json(peer.last_handshake_seconds) : Json()},
          {"received_bytes", peer.received_bytes},
          {"sent_bytes", peer.sent_bytes},
          {"persistent_keepalive", peer.persistent_keepalive},
          {"cipher", config::cipher_name(peer.cipher)},
          {"rekey_after_bytes", peer.rekey_after_bytes},
          {"rekey_after_seconds", peer.rekey_after_time.count()},
          {"staged_packets", peer.staged_packets},
          {"roamed_count", peer.roamed_count},
          {"sessions", list(peer.sessions, session_json)},
          {"endpoint_history", list(peer.endpoint_history, visit_json)}};
}

Json interface_json(const std::string& name, const config::DeviceReport& report) {
  const auto key = public_key_of(report.private_key);
  Json counters = Json::object();
  for (const auto& [counter, count] : report.counters) counters[counter] = count;
  return {{"name", name},
          {"public_key", key ? Json(config::to_base64(key->bytes)) : Json()},
          {"listen_port", report.listen_port},
          {"fwmark", report.fwmark},
          {"version", report.version.empty() ? Json() : Json(report.version)},
          {"tun_offload", report.tun_offload},
          {"udp_offload", report.udp_offload},
          {"counters", counters},
          {"peers", list(report.peers, peer_json)}};
}

}  // namespace

std::string show_json(const InterfaceReports& reports) {
  Json interfaces = Json::array();
  for (const auto& [name, report] : reports) interfaces.push_back(interface_json(name, report));
  const Json whole = {{"interfaces", interfaces}};
  constexpr int kIndent = 2;
  // A name that is no UTF-8 must not cost the whole output.
  return whole.dump(kIndent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace vpn::cli
