#include "lab/cli/status_table.h"

#include <fmt/format.h>

#include <cstdint>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

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

std::string size_text(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes) / 1000;
  const char* unit = "kB";
  for (const char* const next : {"MB", "GB", "TB"}) {
    if (value < 1000) break;
    value /= 1000;
    unit = next;
  }
  return fmt::format("{:.{}f} {}", value, value < 10 ? 1 : 0, unit);
}

// Of a peer: the host that has the address it is found at, if one of the lab has, and the address.
std::string place_of(const Json& json, const Json& peer) {
  const Json endpoint = peer.value("endpoint", Json());
  if (!endpoint.is_string()) return "(endpoint not known yet)";
  auto text = endpoint.get<std::string>();
  std::string address = text.substr(0, text.rfind(':'));
  if (address.starts_with('[')) address = address.substr(1, address.size() - 2);
  for (const Json& host : json["hosts"]) {
    for (const Json& interface : host["interfaces"]) {
      for (const Json& one : interface["addresses"]) {
        if (one.get<std::string>().starts_with(address + "/"))
          return host["name"].get<std::string>() + " at " + text;
      }
    }
  }
  return text;
}

// "1234 offered, 1200 delivered, 34 lost": what of them happened, in the engine's words.
std::string counts_of(const Json& counters) {
  std::string text = fmt::format("{} offered, {} delivered", counters.value("offered", uint64_t{0}),
                                 counters.value("delivered", uint64_t{0}));
  for (const auto& [key, word] : {std::pair("lost", "lost"),
                                  {"lost_in_burst", "lost in bursts"},
                                  {"dropped_by_list", "dropped by list"},
                                  {"queue_full", "refused by a full queue"},
                                  {"too_long", "too long"},
                                  {"link_down", "sent while it was down"},
                                  {"refused", "refused by the receiver"},
                                  {"duplicated", "duplicated"},
                                  {"corrupted", "damaged"},
                                  {"held", "held back"},
                                  {"waiting", "on their way"}}) {
    const auto count = counters.value(key, uint64_t{0});
    if (count > 0) text += fmt::format(", {} {}", count, word);
  }
  return text;
}

// "; 12.3 Mbit/s, 1042 packets/s" of one direction of a link, since an earlier status.
std::string rate_since(const Json& now, const Json& before, const Json& link, const Json& direction) {
  if (!before.is_object()) return "";
  const double seconds = now["uptime_seconds"].get<double>() - before["uptime_seconds"].get<double>();
  for (const Json& old_link : before["links"]) {
    if (old_link["name"] != link["name"] || seconds <= 0) continue;
    for (const Json& old : old_link["directions"]) {
      if (old["from"] != direction["from"]) continue;
      const auto grown = [&](const char* key) {
        return direction["counters"].value(key, 0.0) - old["counters"].value(key, 0.0);
      };
      return fmt::format("; {:.2f} Mbit/s, {:.0f} packets/s", grown("delivered_bytes") * 8 / 1e6 / seconds,
                         grown("delivered") / seconds);
    }
  }
  return "";
}

std::string daemon_lines(const Json& json, const Json& daemon) {
  std::string text = fmt::format("    {:<10} {}  {}{}\n", daemon["interface"].get<std::string>(),
                                 joined(daemon["addresses"]), daemon["kind"].get<std::string>(),
                                 daemon.value("running", false) ? "" : "  ENDED");
  for (const Json& peer : daemon.value("peers", Json::array())) {
    text += fmt::format("    {:<10} peer {}: {}, received {}, sent {}\n", "", place_of(json, peer),
                        handshake_age(peer), size_text(peer.value("received_bytes", uint64_t{0})),
                        size_text(peer.value("sent_bytes", uint64_t{0})));
  }
  return text;
}

std::string link_lines(const Json& json, const Json& before, const Json& link) {
  const std::string carried_by = link.value("carried_by", "");
  std::string text =
      fmt::format("  link {} (engine {}{}, MTU {}){}\n", link["name"].get<std::string>(),
                  link["engine"].get<std::string>(), carried_by.empty() ? "" : " by " + carried_by,
                  link["mtu"].get<unsigned>(), link.value("up", true) ? "" : "  DOWN");
  for (const Json& direction : link["directions"]) {
    text += fmt::format("    {} -> {}: {}\n", direction["from"].get<std::string>(),
                        direction["to"].get<std::string>(), direction["impairment"].get<std::string>());
    if (!direction.contains("counters")) continue;
    text += fmt::format("      {}{}\n", counts_of(direction["counters"]),
                        rate_since(json, before, link, direction));
  }
  return text;
}

std::string uptime_text(double seconds) {
  const auto whole = static_cast<uint64_t>(seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

}  // namespace

std::string status_table(const std::string& status, const std::string& previous) {
  const Json json = Json::parse(status);
  const Json before = Json::parse(previous, nullptr, false);
  std::string text = fmt::format("lab {}: {} (seed {}, up {})\n", json["name"].get<std::string>(),
                                 json["about"].get<std::string>(), json["seed"].get<uint64_t>(),
                                 uptime_text(json["uptime_seconds"].get<double>()));
  for (const Json& host : json["hosts"]) {
    text += fmt::format("  host {}{}\n", host["name"].get<std::string>(),
                        host.value("router", false) ? " (router)" : "");
    for (const Json& interface : host["interfaces"]) {
      text += fmt::format("    {:<10} {}\n", interface["name"].get<std::string>(),
                          joined(interface["addresses"]));
    }
    for (const Json& daemon : json["daemons"]) {
      if (daemon["host"] == host["name"]) text += daemon_lines(json, daemon);
    }
  }
  for (const Json& link : json["links"]) text += link_lines(json, before, link);
  for (const Json& service : json["services"]) {
    text += fmt::format("  service {} on {}{}\n", service["name"].get<std::string>(),
                        service["host"].get<std::string>(), service.value("running", false) ? "" : "  ENDED");
  }
  return text;
}

}  // namespace lab::cli
