#include "lab/cli/status_table.h"

#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>

namespace lab::cli {
namespace {

using Json = nlohmann::json;

std::string joined(const Json& texts) {
  std::string all;
  for (const Json& text : texts) all += (all.empty() ? "" : " ") + text.get<std::string>();
  return all;
}

std::string handshake_age(const Json& peer) {
  const auto at = peer.value("last_handshake", int64_t{0});
  return at == 0 ? "no handshake yet"
                 : fmt::format("handshake {} s ago", std::max<int64_t>(0, std::time(nullptr) - at));
}

// ", 12.3 Mbit/s" of one direction of a link, since an earlier status.
std::string rate_since(const Json& now, const Json& before, const Json& link, const Json& direction) {
  if (!before.is_object() || !direction.contains("counters")) return "";
  const double seconds = now["uptime_seconds"].get<double>() - before["uptime_seconds"].get<double>();
  for (const Json& old_link : before["links"]) {
    if (old_link["name"] != link["name"] || seconds <= 0) continue;
    for (const Json& old : old_link["directions"]) {
      if (old["from"] != direction["from"] || !old.contains("counters")) continue;
      const auto bytes = direction["counters"]["delivered_bytes"].get<double>() -
                         old["counters"]["delivered_bytes"].get<double>();
      return fmt::format(", {:.2f} Mbit/s", bytes * 8 / 1e6 / seconds);
    }
  }
  return "";
}

}  // namespace

std::string status_table(const std::string& status, const std::string& previous) {
  const Json json = Json::parse(status);
  const Json before = Json::parse(previous, nullptr, false);
  std::string text = fmt::format("lab {}: {} (seed {})\n", json["name"].get<std::string>(),
                                 json["about"].get<std::string>(), json["seed"].get<uint64_t>());
  for (const Json& host : json["hosts"]) {
    text += fmt::format("  host {}{}\n", host["name"].get<std::string>(),
                        host.value("router", false) ? " (router)" : "");
    for (const Json& interface : host["interfaces"]) {
      text += fmt::format("    {:<10} {}\n", interface["name"].get<std::string>(),
                          joined(interface["addresses"]));
    }
    for (const Json& daemon : json["daemons"]) {
      if (daemon["host"] != host["name"]) continue;
      text += fmt::format("    {:<10} {}  {}{}\n", daemon["interface"].get<std::string>(),
                          joined(daemon["addresses"]), daemon["kind"].get<std::string>(),
                          daemon.value("running", false) ? "" : "  ENDED");
      for (const Json& peer : daemon.value("peers", Json::array())) {
        const Json endpoint = peer.value("endpoint", Json());
        text += fmt::format("    {:<10} peer {}: {}, received {} B, sent {} B\n", "",
                            endpoint.is_string() ? endpoint.get<std::string>() : "(endpoint not known yet)",
                            handshake_age(peer), peer.value("received_bytes", uint64_t{0}),
                            peer.value("sent_bytes", uint64_t{0}));
      }
    }
  }
  for (const Json& link : json["links"]) {
    text += fmt::format("  link {} (engine {}, MTU {}){}\n", link["name"].get<std::string>(),
                        link["engine"].get<std::string>(), link["mtu"].get<unsigned>(),
                        link.value("up", true) ? "" : "  DOWN");
    for (const Json& direction : link["directions"]) {
      text += fmt::format("    {} -> {}: {}", direction["from"].get<std::string>(),
                          direction["to"].get<std::string>(), direction["impairment"].get<std::string>());
      if (direction.contains("counters")) {
        const Json& counters = direction["counters"];
        text += fmt::format("  [{} offered, {} delivered]", counters["offered"].get<uint64_t>(),
                            counters["delivered"].get<uint64_t>());
      }
      text += rate_since(json, before, link, direction) + '\n';
    }
  }
  for (const Json& service : json["services"]) {
    text += fmt::format("  service {} on {}{}\n", service["name"].get<std::string>(),
                        service["host"].get<std::string>(), service.value("running", false) ? "" : "  ENDED");
  }
  return text;
}

}  // namespace lab::cli
