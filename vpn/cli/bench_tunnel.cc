#include "vpn/cli/bench_tunnel.h"

#include <net/if.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "vpn/cli/bench_sandbox.h"
#include "vpn/cli/control_client.h"
#include "vpn/cli/keys.h"
#include "vpn/config/device_change.h"
#include "vpn/crypto/aead.h"
#include "vpn/host/netlink.h"
#include "vpn/traffic/ping.h"
#include "vpn/traffic/statistics.h"
#include "vpn/traffic/tcp_load.h"
#include "vpn/traffic/udp_load.h"

namespace vpn::cli {
namespace {

using std::chrono::milliseconds;
using traffic::End;
using traffic::SteadyClock;

constexpr std::chrono::seconds kStart{10};
constexpr milliseconds kPoll{2};
constexpr uint16_t kPort = 51820;
constexpr char kStepMark[] = "step ";

std::string interface_of_host(size_t host) {
  return "bench" + std::to_string(host);
}

IpAddress tunnel_address(size_t host) {
  return IpAddress::ipv4(10, 77, 0, static_cast<uint8_t>(host + 1));
}

// "VmHWM:" or "Threads:" of /proc/PID/status; 0 where it is not there.
uint64_t status_number(pid_t process, const std::string& key) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return std::strtoull(line.c_str() + key.size(), nullptr, 10);
  }
  return 0;
}

// Two daemons with one tunnel between them, ended with the object.
class TunnelPair {
 public:
  explicit TunnelPair(const Sandbox& sandbox) : sandbox_(sandbox) {}
  ~TunnelPair() {
    for (const pid_t daemon : daemons_) {
      if (daemon <= 0) continue;
      ::kill(daemon, SIGTERM);
      ::waitpid(daemon, nullptr, 0);
    }
  }
  TunnelPair(const TunnelPair&) = delete;
  TunnelPair& operator=(const TunnelPair&) = delete;

  Result<void, Error> start(crypto::Suite suite) {
    const std::array<Secret<32>, 2> keys = {make_private_key(), make_private_key()};
    for (size_t host = 0; host < 2; ++host) {
      const std::string name = interface_of_host(host);
      auto started = sandbox_.start(host, {"/proc/self/exe", "daemon", "--interface", name}, log_of(host));
      if (!started) return fail(std::move(started.error()));
      daemons_[host] = *started;
    }
    for (size_t host = 0; host < 2; ++host) {
      if (auto there = await(host); !there) return there;
      if (auto set = configure(host, suite, keys); !set) return set;
      if (auto up = sandbox_.in_host(host, [host] { return set_up(host); }); !up) return up;
    }
    return {};
  }

  void describe(PathFigures& path) const {
    for (const pid_t daemon : daemons_) {
      path.memory_mb += static_cast<double>(status_number(daemon, "VmHWM:")) * 1024 / 1e6;
    }
    path.threads = static_cast<unsigned>(status_number(daemons_[0], "Threads:"));
    if (const auto report = client_.get(interface_of_host(0))) {
      path.tun_offload = report->tun_offload;
      path.udp_offload = report->udp_offload;
    }
  }

 private:
  static std::string log_of(size_t host) { return "/run/bench" + std::to_string(host) + ".log"; }

  Result<void, Error> await(size_t host) {
    for (const auto deadline = SteadyClock::now() + kStart; SteadyClock::now() < deadline;) {
      if (client_.has_daemon(interface_of_host(host))) return {};
      int status = 0;
      if (::waitpid(daemons_[host], &status, WNOHANG) == daemons_[host]) {
        daemons_[host] = 0;
        break;
      }
      std::this_thread::sleep_for(kPoll);
    }
    std::ifstream log(log_of(host));
    std::string last = "it said nothing";
    for (std::string line; std::getline(log, line);) last = line;
    return fail(Error{"", 0, "", "the daemon did not come up: " + last, ""});
  }

  Result<void, Error> configure(size_t host, crypto::Suite suite,
                                const std::array<Secret<32>, 2>& keys) const {
    const size_t far = 1 - host;
    config::DeviceChange change;
    change.private_key = keys[host];
    change.listen_port = kPort;
    config::PeerChange peer(*public_key_of(keys[far]));
    peer.endpoint = UdpAddress{Sandbox::link_address(far), kPort, 0};
    peer.allowed_ips.push_back({IpPrefix{tunnel_address(far), 32}, false});
    peer.cipher =
        suite == crypto::Suite::kAes256Gcm ? config::Cipher::kAes256Gcm : config::Cipher::kChaCha20Poly1305;
    change.peers.push_back(std::move(peer));
    return client_.set(interface_of_host(host), change);
  }

  static Result<void, Error> set_up(size_t host) {
    auto netlink = host::Netlink::open();
    if (!netlink) return fail(std::move(netlink.error()));
    const unsigned index = ::if_nametoindex(interface_of_host(host).c_str());
    if (auto added = netlink->add_address(index, {tunnel_address(host), 24}); !added) {
      return fail(std::move(added.error()));
    }
    if (auto up = netlink->set_up(index); !up) return fail(std::move(up.error()));
    return {};
  }

  const Sandbox& sandbox_;
  ControlClient client_;
  std::array<pid_t, 2> daemons_{};
};

// Ping, TCP, small UDP packets over a path that stands.
Result<void, Error> measure_path(const End& from, const End& to, double seconds, PathFigures& path) {
  const auto answered = traffic::await_answer(from, to, kStart);
  if (!answered) return fail(answered.error());
  if (!*answered)
    return fail(Error{to.address.to_string(), 0, "", "no ping came through within ten seconds", ""});
  const auto pings = traffic::ping(from, to, {});
  if (!pings) return fail(pings.error());
  path.ping_ms = traffic::quantile(pings->round_trips_ms, 0.5).value_or(0);
  const auto window = std::chrono::duration_cast<traffic::Duration>(std::chrono::duration<double>(seconds));
  const auto tcp = traffic::measure_tcp(from, to, {.window = window});
  if (!tcp) return fail(tcp.error());
  path.tcp_gbit = tcp->gbit_per_second();
  const auto small = traffic::find_lossless_rate({.precision = 0.1}, [&](double rate) {
    return traffic::measure_udp(
        from, to, {.payload_bytes = 64, .packets_per_second = rate, .duration = milliseconds(300)});
  });
  if (!small) return fail(small.error());
  path.udp64_per_second = small->best.received_per_second;
  return {};
}

Result<void, Error> measure_all(const Sandbox& sandbox, const Say& say, double seconds) {
  const auto ends = [&](IpAddress (*address)(size_t)) {
    return std::pair(End{sandbox.networks[0].get(), address(0)}, End{sandbox.networks[1].get(), address(1)});
  };
  say(std::string(kStepMark) + "the bare path\n");
  PathFigures plain;
  const auto [left, right] = ends(&Sandbox::link_address);
  if (auto done = measure_path(left, right, seconds, plain); !done) return done;
  say(path_to_line(plain));
  for (const crypto::Suite suite : {crypto::Suite::kAes256Gcm, crypto::Suite::kChaCha20Poly1305}) {
    PathFigures path;
    path.suite = crypto::suite_name(suite);
    say(kStepMark + ("a tunnel with " + path.suite) + "\n");
    TunnelPair pair(sandbox);
    if (auto started = pair.start(suite); !started) return started;
    const auto [inner_left, inner_right] = ends(&tunnel_address);
    if (auto done = measure_path(inner_left, inner_right, seconds, path); !done) return done;
    pair.describe(path);
    say(path_to_line(path));
  }
  return {};
}

}  // namespace

Result<void, Error> measure_tunnels(const TunnelBench& bench, BenchFigures& figures) {
  return run_in_sandbox(
      [&](const Sandbox& sandbox, const Say& say) { return measure_all(sandbox, say, bench.seconds); },
      [&](const std::string& line) {
        if (line.starts_with(kStepMark)) {
          if (bench.on_step) bench.on_step(line.substr(sizeof kStepMark - 1));
        } else if (auto path = path_from_line(line)) {
          if (path->suite.empty()) {
            figures.plain = std::move(*path);
          } else {
            figures.tunnels.push_back(std::move(*path));
          }
        }
      });
}

}  // namespace vpn::cli
