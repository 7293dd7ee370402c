#include "lab/bench/probe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "lab/bench/lane.h"
#include "lab/kernel/namespaces.h"
#include "lab/kernel/netlink.h"
#include "vpn/traffic/ping.h"
#include "vpn/traffic/statistics.h"
#include "vpn/traffic/tcp_load.h"
#include "vpn/traffic/udp_load.h"

namespace lab::bench {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;
using vpn::traffic::End;
using vpn::traffic::SteadyClock;

constexpr std::chrono::seconds kTunnelStart{10};
constexpr milliseconds kPoll{2};
constexpr std::chrono::seconds kCrowdStart{60};
constexpr milliseconds kLoadedPingInterval{10};

std::chrono::nanoseconds seconds(double count) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(count));
}

// What the processes have used of the processor so far, user and system, in seconds.
double processor_seconds(const std::vector<pid_t>& processes) {
  uint64_t ticks = 0;
  for (const pid_t process : processes) {
    const std::string stat = read_file(fmt::format("/proc/{}/stat", process)).value_or("");
    const size_t name_end = stat.rfind(')');
    if (name_end == std::string::npos) continue;
    std::istringstream fields(stat.substr(name_end + 1));
    std::string skipped;
    for (int field = 3; field < 14; ++field) fields >> skipped;
    uint64_t user = 0;
    uint64_t system = 0;
    if (fields >> user >> system) ticks += user + system;
  }
  return static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// In MB, of all together: a page that several processes share counts once (proportional set size).
double memory_mb(const std::vector<pid_t>& processes) {
  constexpr std::string_view kKey = "\nPss:";
  double sum = 0;
  for (const pid_t process : processes) {
    const std::string rollup = read_file(fmt::format("/proc/{}/smaps_rollup", process)).value_or("");
    const size_t at = rollup.find(kKey);
    if (at != std::string::npos) sum += std::strtod(rollup.c_str() + at + kKey.size(), nullptr) * 1024 / 1e6;
  }
  return sum;
}

// The measuring process itself.
class Measurer {
 public:
  Measurer(const Probe& probe, int out) : probe_(probe), out_(out) {}

  void run() {
    if (auto ready = prepare(); !ready) return say_failure("start", ready.error().to_string());
    for (const std::string& measure : probe_.measures) {
      say({{"begins", measure}});
      if (measure == "ping") ping_idle();
      if (measure == "tcp1") tcp(1, "tcp1");
      if (measure == "tcp4") tcp(4, "tcp4");
      if (measure == "crowd") crowd();
      if (measure.starts_with("udp")) udp(std::stoul(measure.substr(3)), measure);
    }
  }

 private:
  Result<void> prepare() {
    if (auto joined = join_user_namespace(); !joined) return joined;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // joining another user namespace has cleared it
    for (size_t end = 0; end < 2; ++end) {
      auto network = open_network_namespace(probe_.holders[end]);
      if (!network) return fail(network.error());
      networks_[end] = std::move(*network);
      ends_[end] = End{networks_[end].get(), *vpn::IpAddress::parse(probe_.addresses[end])};
    }
    if (!probe_.interface_to_set_up.empty()) {
      for (size_t end = 0; end < 2; ++end) {
        if (auto done = set_up_interface(end); !done) return done;
      }
    }
    const auto answered = vpn::traffic::await_answer(ends_[0], ends_[1], kTunnelStart);
    if (!answered) return fail("", answered.error().to_string());
    if (!*answered) return fail("", "no ping came through the tunnel within ten seconds");
    return {};
  }

  Result<void> join_user_namespace() {
    const std::string path = fmt::format("/proc/{}/ns/user", probe_.holders[0]);
    struct stat own {};
    struct stat theirs {};
    if (::stat("/proc/self/ns/user", &own) == 0 && ::stat(path.c_str(), &theirs) == 0 &&
        own.st_ino == theirs.st_ino) {
      return {};
    }
    const UniqueFd user(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!user.is_open() || ::setns(user.get(), CLONE_NEWUSER) != 0) {
      return fail_errno(path, "joining the user namespace");
    }
    return {};
  }

  // The daemon makes it in its own time.
  Result<void> set_up_interface(size_t end) {
    const auto scope = NetworkNamespaceScope::enter(networks_[end]);
    if (!scope) return fail(scope.error());
    auto netlink = Netlink::open();
    if (!netlink) return fail(netlink.error());
    const std::string& name = probe_.interface_to_set_up;
    const auto deadline = SteadyClock::now() + kTunnelStart;
    while (netlink->index_of(name) == 0) {
      if (SteadyClock::now() > deadline) {
        return fail(fmt::format("host {}", kHosts[end]),
                    "the daemon made no interface " + name + " within ten seconds");
      }
      std::this_thread::sleep_for(kPoll);
    }
    const auto address = vpn::IpPrefix::parse(fmt::format("{}/24", kTunnelAddresses[end]));
    if (auto set = netlink->set_mtu(name, kTunnelMtu); !set) return set;
    if (auto added = netlink->add_address(name, *address); !added) return added;
    return netlink->set_up(name, true);
  }

  void ping_idle() {
    if (!probe_.daemons.empty()) say_found("memory_idle", memory_mb(probe_.daemons));
    const auto result = vpn::traffic::ping(
        ends_[0], ends_[1], {.interval = milliseconds(5), .duration = seconds(probe_.quick ? 0.5 : 1.0)});
    if (!result) return say_failure("ping", result.error().to_string());
    say_quantiles("ping_idle", result->round_trips_ms);
  }

  void tcp(size_t streams, const std::string& measure) {
    double before = 0;
    double after = 0;
    double memory = 0;
    Result<vpn::traffic::PingResult> pings = vpn::traffic::PingResult{};
    std::thread pinging;
    const bool with_ping = streams == 1;
    const vpn::traffic::WindowHooks hooks{
        [&] {
          before = processor_seconds(probe_.daemons);
          if (!with_ping) return;
          pinging = std::thread([&] {
            auto result = vpn::traffic::ping(
                ends_[0], ends_[1],
                {.interval = kLoadedPingInterval, .duration = seconds(probe_.seconds * 0.9)});
            if (result) pings = std::move(*result);
          });
        },
        [&] {
          after = processor_seconds(probe_.daemons);
          memory = memory_mb(probe_.daemons);
        }};
    const auto result = vpn::traffic::measure_tcp(ends_[0], ends_[1],
                                                  {.streams = streams,
                                                   .warm_up = seconds(std::min(0.5, probe_.seconds / 2)),
                                                   .window = seconds(probe_.seconds)},
                                                  hooks);
    if (pinging.joinable()) pinging.join();
    if (!result) return say_failure(measure, result.error().to_string());
    if (result->bytes == 0) return say_failure(measure, "no byte came through while it was measured");
    say_found(measure + "_gbit", result->gbit_per_second());
    if (!probe_.daemons.empty()) {
      say_found(measure + "_cpu", (after - before) / (static_cast<double>(result->bytes) * 1e-9));
    }
    if (with_ping && pings) say_quantiles("ping_loaded", pings->round_trips_ms);
    if (with_ping && !probe_.daemons.empty()) say_found("memory_loaded", memory);
  }

  void udp(size_t payload_bytes, const std::string& measure) {
    vpn::traffic::UdpLoad load{.payload_bytes = payload_bytes};
    load.duration = probe_.quick ? milliseconds(200) : milliseconds(500);
    const vpn::traffic::RateSearch search{.precision = probe_.quick ? 0.15 : 0.05};
    const auto found = vpn::traffic::find_lossless_rate(search, [&](double rate) {
      load.packets_per_second = rate;
      return vpn::traffic::measure_udp(ends_[0], ends_[1], load);
    });
    if (!found) return say_failure(measure, found.error().to_string());
    if (found->best.received_per_second == 0)
      return say_failure(measure, "more than 1 % was lost at every rate");
    say_found(measure + "_pps", found->best.received_per_second);
    say_found(measure + "_loss", found->best.loss * 100);
  }

  // What the crowd said last: "", "ready", or how many packets it has opened.
  [[nodiscard]] std::string crowd_word() const {
    std::string text = read_file(probe_.crowd_log).value_or("");
    text.resize(text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n'));
    const size_t start = text.rfind('\n');
    return text.substr(start == std::string::npos ? 0 : start + 1);
  }

  // Waits until the crowd's count has not changed for a while; false: it never became ready.
  [[nodiscard]] bool await_crowd(milliseconds quiet, uint64_t& opened) const {
    const auto deadline = SteadyClock::now() + kCrowdStart;
    std::string word = crowd_word();
    for (auto since = SteadyClock::now(); SteadyClock::now() < deadline;) {
      std::this_thread::sleep_for(kPoll);
      const std::string now = crowd_word();
      if (now != word) {
        word = now;
        since = SteadyClock::now();
      }
      if (word.empty() || SteadyClock::now() - since < quiet) continue;
      opened = word == "ready" ? 0 : std::strtoull(word.c_str(), nullptr, 10);
      return true;
    }
    return false;
  }

  Result<void> route_to_crowd() {
    const auto scope = NetworkNamespaceScope::enter(networks_[1]);
    if (!scope) return fail(scope.error());
    auto netlink = Netlink::open();
    if (!netlink) return fail(netlink.error());
    return netlink->add_route(*vpn::IpPrefix::parse(kCrowdPrefix), std::nullopt, "wg0");
  }

  // From the host right to every peer of the crowd in turn, some packets each.
  void crowd() {
    if (auto routed = route_to_crowd(); !routed) return say_failure("crowd", routed.error().to_string());
    std::vector<vpn::UdpAddress> receivers;
    for (size_t index = 0; index < probe_.crowd_size; ++index)
      receivers.push_back({crowd_address(index), 9, 0});
    uint64_t opened = 0;
    if (!await_crowd(milliseconds(100), opened))
      return say_failure("crowd", "not every peer made its handshake");
    vpn::traffic::UdpLoad load{.payload_bytes = kCrowdPayloadBytes};
    load.duration = probe_.quick ? milliseconds(200) : milliseconds(500);
    const vpn::traffic::RateSearch search{.precision = probe_.quick ? 0.15 : 0.05};
    const auto found = vpn::traffic::find_lossless_rate(
        search, [&](double rate) -> vpn::Result<vpn::traffic::RateTrial, vpn::Error> {
          load.packets_per_second = rate;
          const uint64_t before = opened;
          const auto sent = vpn::traffic::spray_udp(ends_[1], receivers, kCrowdPacketsInARow, load);
          if (!sent) return vpn::fail(sent.error());
          if (!await_crowd(milliseconds(150), opened)) {
            return vpn::fail(vpn::Error{"", 0, "", "the crowd fell silent", ""});
          }
          const auto count = static_cast<double>(sent->packets);
          const auto arrived = std::min(count, static_cast<double>(opened - before));
          return vpn::traffic::RateTrial{count / sent->seconds, arrived / sent->seconds, 1 - arrived / count};
        });
    if (!found) return say_failure("crowd", found.error().to_string());
    if (found->best.received_per_second == 0)
      return say_failure("crowd", "more than 1 % was lost at every rate");
    say_found("crowd_pps", found->best.received_per_second);
  }

  void say_quantiles(const std::string& prefix, const std::vector<double>& round_trips_ms) {
    for (const auto& [name, share] :
         {std::pair("_p50", 0.5), std::pair("_p90", 0.9), std::pair("_p99", 0.99)}) {
      if (const auto value = vpn::traffic::quantile(round_trips_ms, share)) say_found(prefix + name, *value);
    }
  }

  void say(const Json& json) const {
    const std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    (void)!::write(out_, line.data(), line.size());
  }
  void say_found(const std::string& metric, double value) const {
    say({{"metric", metric}, {"value", value}});
  }
  void say_failure(const std::string& measure, const std::string& problem) const {
    say({{"failed", measure}, {"problem", problem}});
  }

  const Probe& probe_;
  int out_;
  std::array<UniqueFd, 2> networks_;
  std::array<End, 2> ends_;
};

// Reads the child's lines until it ends or the deadline passes; returns what it was last at.
class Reader {
 public:
  Reader(const ProbeHooks& hooks, const UniqueFd& from) : hooks_(hooks), from_(from) {}

  // False: the deadline passed.
  bool read_until(SteadyClock::time_point deadline) {
    for (;;) {
      const auto left = std::chrono::ceil<milliseconds>(deadline - SteadyClock::now()).count();
      if (left <= 0) return false;
      pollfd one{from_.get(), POLLIN, 0};
      if (::poll(&one, 1, static_cast<int>(left)) <= 0) continue;
      char buffer[4096];
      const ssize_t count = ::read(from_.get(), buffer, sizeof buffer);
      if (count == 0) return true;
      if (count < 0) continue;
      text_.append(buffer, static_cast<size_t>(count));
      for (size_t end = text_.find('\n'); end != std::string::npos; end = text_.find('\n')) {
        hear(text_.substr(0, end));
        text_.erase(0, end + 1);
      }
    }
  }

  [[nodiscard]] const std::string& at() const { return at_; }

 private:
  void hear(const std::string& line) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) return;
    if (json.contains("begins")) {
      at_ = json["begins"].get<std::string>();
      hooks_.begins(at_);
    } else if (json.contains("metric")) {
      hooks_.found(json["metric"].get<std::string>(), json["value"].get<double>());
    } else if (json.contains("failed")) {
      hooks_.failed(json["failed"].get<std::string>(), json["problem"].get<std::string>());
    }
  }

  const ProbeHooks& hooks_;
  const UniqueFd& from_;
  std::string text_;
  std::string at_ = "start";
};

}  // namespace

double expected_seconds(const Probe& probe, std::string_view measure) {
  if (measure == "ping") return probe.quick ? 0.6 : 1.1;
  if (measure.starts_with("tcp")) return probe.seconds + std::min(0.5, probe.seconds / 2) + 0.2;
  return probe.quick ? 3 : 8;
}

void run_probe(const Probe& probe, const ProbeHooks& hooks) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return hooks.failed("start", "making a pipe failed");
  const UniqueFd heard(ends[0]);
  UniqueFd said(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return hooks.failed("start", "forking failed");
  if (child == 0) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_DFL);
    ::close_range(3, static_cast<unsigned>(said.get()) - 1, 0);
    ::close_range(static_cast<unsigned>(said.get()) + 1, ~0U, 0);
    ::prctl(PR_SET_NAME, "lab-bench-probe");
    Measurer measurer(probe, said.get());
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == parent) measurer.run();
    ::_exit(0);
  }
  said.reset();
  double expected = 20;
  for (const std::string& measure : probe.measures) expected += 4 * expected_seconds(probe, measure);
  Reader reader(hooks, heard);
  if (!reader.read_until(SteadyClock::now() + seconds(expected))) {
    ::kill(child, SIGKILL);
    hooks.failed(reader.at(), fmt::format("did not end within {:.0f} seconds", expected));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
    hooks.failed(reader.at(), fmt::format("the measuring process ended by signal {}", WTERMSIG(status)));
  }
}

}  // namespace lab::bench
