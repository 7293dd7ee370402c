#include "lab/bench/turn.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>

#include "lab/bench/child_process.h"
#include "lab/bench/foreign_daemons.h"
#include "lab/bench/lane.h"
#include "lab/kernel/namespaces.h"
#include "lab/run/lab.h"
#include "lab/run/tunnels.h"
#include "lab/run/uapi_client.h"
#include "vpn/config/device_change.h"
#include "vpn/config/text.h"

namespace lab::bench {
namespace {

constexpr char kTunnel[] = "wg0";

void note_failure(CandidateReport& report, const std::string& what) {
  if (std::find(report.failures.begin(), report.failures.end(), what) == report.failures.end()) {
    report.failures.push_back(what);
  }
}

// Gives both ends of `vpn` the other cipher; then asks it what it uses.
Result<void> set_cipher(const Lab& lab, const Candidate& candidate) {
  if (candidate.detail != "aes-256-gcm") return {};
  for (const std::string_view host : kHosts) {
    const std::string socket = control_socket(lab.state(), std::string(host), kTunnel);
    const auto report = get_device(socket);
    if (!report) return fail(report.error());
    vpn::config::DeviceChange change;
    for (const auto& peer : report->peers) {
      vpn::config::PeerChange one(peer.public_key);
      one.update_only = true;
      one.cipher = vpn::config::Cipher::kAes256Gcm;
      change.peers.push_back(std::move(one));
    }
    if (auto set = set_device(socket, change); !set) return set;
  }
  return {};
}

// Adds peers with keys of chance and an address each, a thousand a request.
Result<void> add_silent_peers(const Lab& lab, size_t count) {
  constexpr size_t kARequest = 1000;
  for (const std::string_view host : kHosts) {
    const std::string socket = control_socket(lab.state(), std::string(host), kTunnel);
    for (size_t done = 0; done < count;) {
      vpn::config::DeviceChange change;
      for (; done < count && change.peers.size() < kARequest; ++done) {
        vpn::PublicKey key;
        randombytes_buf(key.bytes.data(), key.bytes.size());
        vpn::config::PeerChange peer(key);
        peer.allowed_ips.push_back({vpn::IpPrefix{crowd_address(done), 32}, false});
        change.peers.push_back(std::move(peer));
      }
      if (auto set = set_device(socket, change); !set) return set;
    }
  }
  return {};
}

// Draws the crowd's keys, makes them peers of the daemon of the host right, and starts the crowd in the host
// left. Returns its log.
Result<std::string> start_crowd(const Lab& lab, const Candidate& candidate, size_t count) {
  const bool aes = candidate.detail == "aes-256-gcm";
  const std::string socket = control_socket(lab.state(), "right", kTunnel);
  const auto hub = get_device(socket);
  if (!hub) return fail(hub.error());
  const auto program = find_program("vpn_bench_crowd");
  if (!program) return fail("vpn_bench_crowd", "not built", "build the target vpn_bench_crowd");
  vpn::PublicKey hub_key;
  crypto_scalarmult_base(hub_key.bytes.data(), hub->private_key->view().data());
  std::string input = fmt::format("{}\n{}:{}\n{}\n", vpn::config::to_base64(hub_key.bytes), kLinkAddresses[1],
                                  hub->listen_port, aes ? "aes-256-gcm" : "chacha20-poly1305");
  vpn::config::DeviceChange change;
  for (size_t index = 0; index < count; ++index) {
    vpn::Secret<32> key;
    randombytes_buf(key.mutable_view().data(), 32);
    vpn::PublicKey open;
    crypto_scalarmult_base(open.bytes.data(), key.view().data());
    vpn::config::PeerChange peer(open);
    peer.allowed_ips.push_back({vpn::IpPrefix{crowd_address(index), 32}, false});
    if (aes) peer.cipher = vpn::config::Cipher::kAes256Gcm;
    change.peers.push_back(std::move(peer));
    input += vpn::config::to_base64(key.view()) + "\n";
  }
  if (auto set = set_device(socket, change); !set) return fail(set.error());
  const std::string log = lab.state().file("logs/crowd.log");
  if (auto started = start_in_host(lab, "left", {*program}, input, log); !started)
    return fail(started.error());
  return log;
}

void note_engine(const Lab& lab, const Candidate& candidate, CandidateReport& report) {
  if (candidate.program != "vpn" && candidate.name != "plaintext") return;
  const auto device = get_device(control_socket(lab.state(), "left", kTunnel));
  if (!device) return;
  if (report.version.empty()) report.version = device->version;
  if (!device->tun_offload.empty()) report.engine["TUN"] = device->tun_offload;
  if (!device->udp_offload.empty()) report.engine["UDP"] = device->udp_offload;
}

// Starts daemons that the lab knows nothing about; returns their interface.
Result<std::string> start_foreign(const Lab& lab, const Candidate& candidate) {
  const auto pair =
      candidate.kind == CandidateKind::kOpenvpn ? openvpn_pair() : fastd_pair(std::string(candidate.detail));
  if (!pair) return fail(pair.error());
  for (size_t end = 0; end < 2; ++end) {
    const std::string host(kHosts[end]);
    const std::string log = lab.state().file(fmt::format("logs/{}-{}.log", host, candidate.name));
    const ForeignEnd& one = pair->ends[end];
    if (auto started = start_in_host(lab, host, one.argv, one.configuration, log); !started) {
      return fail(started.error());
    }
  }
  return pair->interface;
}

// The last thing the candidate's daemons said, for a failure.
std::string last_words(const Lab& lab, const Candidate& candidate) {
  for (const std::string_view host : kHosts) {
    for (const std::string_view name : {std::string_view(kTunnel), candidate.name}) {
      std::string log = read_file(lab.state().file(fmt::format("logs/{}-{}.log", host, name))).value_or("");
      while (log.ends_with('\n')) log.pop_back();
      if (!log.empty()) return fmt::format("; {} said last: {}", host, log.substr(log.rfind('\n') + 1));
    }
  }
  return "";
}

Result<Lab> bring_up(const Candidate& candidate, const TurnOptions& options) {
  auto parsed = parse_topology(topology_text(candidate, options), "bench");
  if (!parsed.problems.empty()) return fail(parsed.problems.front());
  return Lab::up(std::move(parsed.topology), {options.lab, options.seed});
}

Result<Probe> prepare_probe(const Lab& lab, const Candidate& candidate, const TurnOptions& options) {
  Probe probe;
  if (auto set = set_cipher(lab, candidate); !set) return fail(set.error());
  if (auto added = add_silent_peers(lab, options.further_peers); !added) return fail(added.error());
  if (candidate.kind == CandidateKind::kOpenvpn || candidate.kind == CandidateKind::kFastd) {
    auto interface = start_foreign(lab, candidate);
    if (!interface) return fail(interface.error());
    probe.interface_to_set_up = std::move(*interface);
  }
  if (options.crowd > 0) {
    auto log = start_crowd(lab, candidate, options.crowd);
    if (!log) return fail(log.error());
    probe.crowd_log = std::move(*log);
    probe.crowd_size = options.crowd;
  }
  const auto& addresses = candidate.kind == CandidateKind::kBareLink ? kLinkAddresses : kTunnelAddresses;
  for (size_t end = 0; end < 2; ++end) {
    const auto holder = lab.holder_of(std::string(kHosts[end]));
    if (!holder) return fail(holder.error());
    probe.holders[end] = *holder;
    probe.addresses[end] = addresses[end];
  }
  probe.daemons = daemons_of(lab);
  probe.measures = options.measures;
  probe.seconds = options.seconds;
  probe.quick = options.quick;
  return probe;
}

}  // namespace

std::string topology_text(const Candidate& candidate, const TurnOptions& options) {
  const std::string& weather = options.weather;
  const std::string engine = options.engine.empty() ? (weather.empty() ? "veth" : "auto") : options.engine;
  std::string text = fmt::format(
      "about = \"A link to measure on\"\n[[host]]\nname = \"left\"\n[[host]]\nname = \"right\"\n"
      "[[link]]\nname = \"wan\"\nends = [\"left\", \"right\"]\n"
      "address = {{ left = \"{}/24\", right = \"{}/24\" }}\nmtu = {}\nengine = \"{}\"\n{}",
      kLinkAddresses[0], kLinkAddresses[1], options.jumbo ? kJumboLinkMtu : kLinkMtu, engine,
      weather.empty() ? "" : fmt::format("impair = \"{}\"\n", weather));
  if (candidate.kind == CandidateKind::kWireguard) {
    text += fmt::format(
        "[[tunnel]]\nname = \"wg0\"\nkind = \"{}\"\nmesh = [\"left\", \"right\"]\nsubnet = \"10.77.0.0/24\"\n"
        "port = 51820\nmtu = {}\n",
        candidate.tunnel_kind, options.jumbo ? kJumboTunnelMtu : kTunnelMtu);
    if (candidate.tunnel_kind == "command") {
      text += fmt::format("command = [\"{}\", \"{{interface}}\"]\n", candidate.program);
    }
  }
  return text;
}

void run_turn(const Candidate& candidate, const TurnOptions& options, CandidateReport& report,
              const std::function<void(const std::string&)>& begins) {
  begins("up");
  const auto lab = bring_up(candidate, options);
  if (!lab) return note_failure(report, lab.error().to_string());
  const auto probe = prepare_probe(*lab, candidate, options);
  if (probe) {
    note_engine(*lab, candidate, report);
    run_probe(
        *probe,
        {begins, [&](const std::string& metric, double value) { report.samples[metric].push_back(value); },
         [&](const std::string& measure, const std::string& problem) {
           note_failure(report, fmt::format("{}: {}{}", measure, problem,
                                            measure == "start" ? last_words(*lab, candidate) : ""));
         }});
  } else {
    note_failure(report, probe.error().to_string());
  }
  if (auto down = Lab::down(options.lab); !down) note_failure(report, down.error().to_string());
}

}  // namespace lab::bench
