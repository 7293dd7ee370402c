#include "lab/run/tunnels.h"

#include <sodium.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <thread>

#include "lab/kernel/kernel_wireguard.h"
#include "lab/run/uapi_client.h"
#include "vpn/base/check.h"
#include "vpn/config/text.h"

namespace lab {
namespace {

using vpn::config::DeviceChange;
using vpn::config::PeerChange;

constexpr std::chrono::seconds kDaemonStart{10};
constexpr std::chrono::milliseconds kPoll{2};

void draw(vpn::Secret<32>& secret) {
  randombytes_buf(secret.mutable_view().data(), 32);
}

std::pair<std::string, std::string> in_order(const std::string& a, const std::string& b) {
  return a < b ? std::pair(a, b) : std::pair(b, a);
}

bool is_executable(const std::filesystem::path& path) {
  return ::access(path.c_str(), X_OK) == 0 && !std::filesystem::is_directory(path);
}

std::string key_log_name(const std::string& interface) {
  return interface + ".keys";
}

// Of a command line, at its blanks: where a word holds some, the topology gives the words one by one.
std::vector<std::string> words_of(const std::string& line) {
  std::istringstream stream(line);
  return {std::istream_iterator<std::string>(stream), {}};
}

Result<std::vector<std::string>> command_of(const Tunnel& tunnel, const std::string& kind) {
  std::vector<std::string> argv;
  if (kind == "vpn") {
    argv = {"vpn",         "daemon",
            "--interface", tunnel.interface,
            "--key-log",   "/run/" + key_log_name(tunnel.interface)};
  } else if (kind == "wireguard-go") {
    argv = {"wireguard-go", "--foreground", tunnel.interface};
  } else {
    argv = kind == "command" ? tunnel.command : words_of(kind);
    for (std::string& word : argv) {
      if (const size_t at = word.find("{interface}"); at != std::string::npos)
        word.replace(at, 11, tunnel.interface);
    }
  }
  auto program = find_program(argv[0]);
  if (!program) return fail(program.error());
  argv[0] = *program;
  return argv;
}

std::string last_line_of(const std::string& log) {
  const std::string text = read_file(log).value_or("");
  const size_t end = text.find_last_not_of('\n');
  if (end == std::string::npos) return "it said nothing";
  const size_t start = text.rfind('\n', end);
  return text.substr(start == std::string::npos ? 0 : start + 1,
                     end - (start == std::string::npos ? 0 : start + 1) + 1);
}

// Waits until the daemon answers on its socket and its interface exists.
Result<void> await_daemon(const StateDirectory& state, HostNamespace& host, const Daemon& daemon) {
  const std::string& interface = daemon.tunnel->interface;
  const std::string where = "host " + host.name() + ", " + daemon.member->kind;
  const std::string log = daemon_log(state, host.name(), interface);
  const auto deadline = std::chrono::steady_clock::now() + kDaemonStart;
  for (;;) {
    if (host.netlink().index_of(interface) != 0 &&
        connect_unix(control_socket(state, host.name(), interface)))
      return {};
    siginfo_t ended{};
    if (::waitid(P_PID, static_cast<id_t>(daemon.pid), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        ended.si_pid != 0) {
      return fail(where, "the daemon ended while starting: " + last_line_of(log),
                  "run it by hand to see why");
    }
    if (std::chrono::steady_clock::now() > deadline) {
      return fail(where, "no control socket for " + interface + " after ten seconds: " + last_line_of(log),
                  "the program must create /var/run/wireguard/" + interface + ".sock");
    }
    std::this_thread::sleep_for(kPoll);
  }
}

DeviceChange device_change(const Daemon& daemon, const TunnelKeys& keys) {
  const TunnelMember& member = *daemon.member;
  DeviceChange change;
  change.private_key = keys.of(member.host).private_key;
  change.listen_port = member.port;
  change.replace_peers = true;
  for (const TunnelPeer& peer : member.peers) {
    PeerChange one(keys.of(peer.host).public_key);
    one.endpoint = peer.endpoint;
    one.replace_allowed_ips = true;
    for (const IpPrefix& prefix : peer.allowed) one.allowed_ips.push_back({prefix.normalized(), false});
    if (const auto* preshared = keys.preshared(member.host, peer.host)) one.preshared_key = *preshared;
    // Only who knows where the other is can keep a path open.
    if (daemon.tunnel->keepalive_seconds > 0 && peer.endpoint) {
      one.persistent_keepalive = daemon.tunnel->keepalive_seconds;
    }
    change.peers.push_back(std::move(one));
  }
  return change;
}

}  // namespace

TunnelKeys::TunnelKeys(const Tunnel& tunnel) {
  VPN_CHECK(sodium_init() >= 0);
  for (const TunnelMember& member : tunnel.members) {
    KeyPair& pair = pairs_[member.host];
    draw(pair.private_key);
    VPN_CHECK(crypto_scalarmult_base(pair.public_key.bytes.data(), pair.private_key.view().data()) == 0);
    if (!tunnel.preshared_key) continue;
    for (const TunnelPeer& peer : member.peers) {
      const auto [at, fresh] = preshared_.try_emplace(in_order(member.host, peer.host));
      if (fresh) draw(at->second);
    }
  }
}

const vpn::Secret<32>* TunnelKeys::preshared(const std::string& a, const std::string& b) const {
  const auto found = preshared_.find(in_order(a, b));
  return found == preshared_.end() ? nullptr : &found->second;
}

std::string TunnelKeys::key_log() const {
  std::string text;
  for (const auto& [host, pair] : pairs_) {
    text += "LOCAL_STATIC_PRIVATE_KEY=" + vpn::config::to_base64(pair.private_key.view()) + "\n";
  }
  for (const auto& [hosts, key] : preshared_)
    text += "PRESHARED_KEY=" + vpn::config::to_base64(key.view()) + "\n";
  return text;
}

std::string control_socket(const StateDirectory& state, const std::string& host,
                           const std::string& interface) {
  return state.file("hosts/" + host + "/run/wireguard/" + interface + ".sock");
}

std::string key_log_file(const StateDirectory& state, const std::string& host, const std::string& interface) {
  return state.file("hosts/" + host + "/run/" + key_log_name(interface));
}

std::string daemon_log(const StateDirectory& state, const std::string& host, const std::string& interface) {
  return state.file("logs/" + host + "-" + interface + ".log");
}

Result<Daemon> start_daemon(const StateDirectory& state, HostNamespace& host, const Tunnel& tunnel,
                            const TunnelMember& member) {
  Daemon daemon{&tunnel, &member, 0};
  if (member.kind == "kernel") {
    if (auto made = host.netlink().create_wireguard(tunnel.interface); !made) return fail(made.error());
    return daemon;
  }
  const auto argv = command_of(tunnel, member.kind);
  if (!argv) return fail(argv.error());
  auto pid = host.spawn(*argv, daemon_log(state, host.name(), tunnel.interface));
  if (!pid) return fail(pid.error());
  daemon.pid = *pid;
  return daemon;
}

Result<void> configure_daemon(const StateDirectory& state, HostNamespace& host, const Daemon& daemon,
                              const TunnelKeys& keys) {
  const Tunnel& tunnel = *daemon.tunnel;
  const std::string& interface = tunnel.interface;
  const bool in_kernel = daemon.member->kind == "kernel";
  if (!in_kernel) {
    if (auto there = await_daemon(state, host, daemon); !there) return there;
  }
  Netlink& netlink = host.netlink();
  for (const IpPrefix& address : daemon.member->addresses) {
    if (auto added = netlink.add_address(interface, address); !added) return added;
  }
  if (auto set = netlink.set_mtu(interface, tunnel.mtu_bytes); !set) return set;
  if (auto up = netlink.set_up(interface, true); !up) return up;
  // Only now, for a daemon that is told to keep a path open sends its first keepalive at once, if it can.
  const auto scope = NetworkNamespaceScope::enter(host.network());
  if (!scope) return fail(scope.error());
  const DeviceChange change = device_change(daemon, keys);
  auto set = in_kernel ? set_kernel_device(interface, change)
                       : set_device(control_socket(state, host.name(), interface), change);
  if (!set) return set;
  for (const IpPrefix& route : daemon.member->routes) {
    if (auto added = netlink.add_route(route, std::nullopt, interface); !added) return added;
  }
  return {};
}

Result<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  std::vector<std::filesystem::path> places;
  if (const char* given = std::getenv("LAB_PROGRAMS")) places.emplace_back(given);
  std::error_code error;
  places.push_back(std::filesystem::read_symlink("/proc/self/exe", error).parent_path());
  std::string path = std::getenv("PATH") != nullptr ? std::getenv("PATH") : "";
  path += ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find(':', start), path.size());
    if (end > start) places.emplace_back(path.substr(start, end - start));
    start = end + 1;
  }
  for (const auto& place : places) {
    if (is_executable(place / name)) return (place / name).string();
  }
  return fail(name, "this program is not installed", "install it; 'lab doctor' names the package");
}

}  // namespace lab
