#include "vpn/cli/bench_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "vpn/wire/messages.h"

namespace vpn::cli {
namespace {

using Json = nlohmann::ordered_json;

double gbit_of(double nanoseconds) {
  return kBenchPacketBytes * 8.0 / nanoseconds;
}

Json path_json(const PathFigures& path) {
  Json json = {{"suite", path.suite},
               {"tcp_gbit", path.tcp_gbit},
               {"udp64_per_second", path.udp64_per_second},
               {"ping_ms", path.ping_ms}};
  if (path.suite.empty()) return json;
  json["memory_mb"] = path.memory_mb;
  json["threads"] = path.threads;
  json["tun_offload"] = path.tun_offload;
  json["udp_offload"] = path.udp_offload;
  return json;
}

std::string path_text(const std::string& name, const PathFigures& path) {
  return fmt::format("  {:<20} {:>12.2f} {:>14.0f} {:>10.3f}", name, path.tcp_gbit, path.udp64_per_second,
                     path.ping_ms);
}

}  // namespace

std::string bench_text(const BenchFigures& figures) {
  std::string text =
      fmt::format("{}, {} cores, Linux {}\n", figures.processor, figures.cores, figures.kernel);
  text += fmt::format(
      "\nCiphers alone, one core, packets of {} bytes (+{} of framing)\n  {:<20} {:<10} {:>9} {:>9} {:>14} "
      "{:>14}\n",
      kBenchPacketBytes, wire::kDataOverheadBytes, "", "backend", "seal, ns", "open, ns", "seal, Gbit/s",
      "open, Gbit/s");
  for (const CipherFigures& one : figures.ciphers) {
    text += fmt::format("  {:<20} {:<10} {:>9.0f} {:>9.0f} {:>14.2f} {:>14.2f}\n", one.suite, one.backend,
                        one.seal_ns, one.open_ns, gbit_of(one.seal_ns), gbit_of(one.open_ns));
  }
  if (!figures.plain) return text;
  text += fmt::format(
      "\nTwo hosts on this machine, both on the same cores\n  {:<20} {:>12} {:>14} {:>10} {:>10} {:>11}\n",
      "", "TCP, Gbit/s", "64 B, per s", "ping, ms", "added, ms", "memory, MB");
  text += path_text("no tunnel", *figures.plain) + "\n";
  for (const PathFigures& one : figures.tunnels) {
    text += path_text(one.suite, one) +
            fmt::format(" {:>+10.3f} {:>11.1f}\n", one.ping_ms - figures.plain->ping_ms, one.memory_mb);
  }
  if (!figures.tunnels.empty()) {
    const PathFigures& one = figures.tunnels.front();
    text += fmt::format("In use: TUN {}; UDP {}; {} thread{} a daemon\n", one.tun_offload, one.udp_offload,
                        one.threads, one.threads == 1 ? "" : "s");
  }
  return text;
}

std::string bench_json(const BenchFigures& figures) {
  Json ciphers = Json::array();
  for (const CipherFigures& one : figures.ciphers) {
    ciphers.push_back({{"suite", one.suite},
                       {"backend", one.backend},
                       {"packet_bytes", kBenchPacketBytes},
                       {"overhead_bytes", wire::kDataOverheadBytes},
                       {"seal_ns", one.seal_ns},
                       {"open_ns", one.open_ns},
                       {"seal_gbit", gbit_of(one.seal_ns)},
                       {"open_gbit", gbit_of(one.open_ns)}});
  }
  Json json = {{"schema", "vpn-bench/1"},
               {"processor", figures.processor},
               {"cores", figures.cores},
               {"kernel", figures.kernel},
               {"ciphers", ciphers}};
  if (figures.plain) {
    json["plain"] = path_json(*figures.plain);
    json["tunnels"] = Json::array();
    for (const PathFigures& one : figures.tunnels) {
      Json tunnel = path_json(one);
      tunnel["ping_added_ms"] = one.ping_ms - figures.plain->ping_ms;
      json["tunnels"].push_back(tunnel);
    }
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string path_to_line(const PathFigures& path) {
  Json json = path_json(path);
  json["path"] = true;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::optional<PathFigures> path_from_line(const std::string& line) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("path")) return std::nullopt;
  PathFigures path;
  path.suite = json.value("suite", "");
  path.tcp_gbit = json.value("tcp_gbit", 0.0);
  path.udp64_per_second = json.value("udp64_per_second", 0.0);
  path.ping_ms = json.value("ping_ms", 0.0);
  path.memory_mb = json.value("memory_mb", 0.0);
  path.threads = json.value("threads", 0U);
  path.tun_offload = json.value("tun_offload", "");
  path.udp_offload = json.value("udp_offload", "");
  return path;
}

}  // namespace vpn::cli
