// What `vpn bench` found, as text and as JSON ("vpn-bench/1").
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace vpn::cli {

// One cipher alone, on one core: packets of 1420 bytes, framed as data messages, in batches as the daemon
// makes them.
struct CipherFigures {
  std::string suite;
  std::string backend;
  double seal_ns = 0;  // a packet
  double open_ns = 0;
};

// A path between two hosts of this machine: bare, or through a tunnel.
struct PathFigures {
  std::string suite;  // empty: no tunnel
  double tcp_gbit = 0;
  double udp64_per_second = 0;
  double ping_ms = 0;    // median, idle
  double memory_mb = 0;  // both daemons together, at most
  unsigned threads = 0;  // of one daemon
  std::string tun_offload, udp_offload;
};

struct BenchFigures {
  std::string processor;
  unsigned cores = 0;
  std::string kernel;
  std::vector<CipherFigures> ciphers;
  std::optional<PathFigures> plain;
  std::vector<PathFigures> tunnels;
};

// Of an inner packet: what a tunnel over Ethernet carries.
inline constexpr unsigned kBenchPacketBytes = 1420;

// Tables for the terminal, of what was measured alone: without `plain` there is none of the two hosts.
[[nodiscard]] std::string bench_text(const BenchFigures& figures);
// One object with a line's end, indented; keys of what was not measured are left out.
[[nodiscard]] std::string bench_json(const BenchFigures& figures);

// A path's figures on their way from the process that measured them.
[[nodiscard]] std::string path_to_line(const PathFigures& path);
[[nodiscard]] std::optional<PathFigures> path_from_line(const std::string& line);

}  // namespace vpn::cli
