#include "lab/run/lab.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "lab/kernel/kernel_wireguard.h"
#include "lab/kernel/namespaces.h"
#include "lab/run/launch.h"
#include "lab/run/tunnels.h"
#include "lab/run/uapi_client.h"

namespace lab {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::seconds kDownWait{20};  // a lab of hundreds of hosts takes some
constexpr std::chrono::milliseconds kDownPoll{1};

// Whether this process may make namespaces and interfaces without a user namespace.
bool has_privilege() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) return false;
  const uint32_t needed = 1U << CAP_NET_ADMIN | 1U << CAP_SYS_ADMIN;
  return (data[0].effective & needed) == needed;
}

// The numbers of a line of /proc/PID/status, such as "NSpid:".
std::vector<pid_t> status_numbers(const std::string& status, const std::string& key) {
  std::vector<pid_t> numbers;
  const size_t at = status.find("\n" + key);
  if (at == std::string::npos) return numbers;
  std::istringstream line(
      status.substr(at + 1 + key.size(), status.find('\n', at + 1) - at - 1 - key.size()));
  for (pid_t number = 0; line >> number;) numbers.push_back(number);
  return numbers;
}

// The child of `parent` that is process `inner` of its own PID namespace.
std::optional<pid_t> find_child(pid_t parent, pid_t inner) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string status = read_file(entry.path() / "status").value_or("");
    const auto parents = status_numbers(status, "PPid:");
    const auto numbers = status_numbers(status, "NSpid:");
    if (parents.empty() || numbers.empty() || parents.front() != parent || numbers.back() != inner) continue;
    return numbers.front();
  }
  return std::nullopt;
}

uint64_t draw_seed() {
  std::random_device device;
  return device();  // 32 bits: short enough to be typed again
}

// Waits until the keeper has ended, and with it every process of its PID namespace.
bool await_end(const ProcessId& keeper) {
  const auto deadline = std::chrono::steady_clock::now() + kDownWait;
  while (!keeper.has_ended()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(kDownPoll);
  }
  return true;
}

// Ends the keeper: asks, waits, and where that does not help, kills. Its namespaces go with it.
Result<void> end_keeper(const ProcessId& keeper) {
  for (const int signal : {SIGTERM, SIGKILL}) {
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, keeper.pid, 0)));
    if (process.is_open() && keeper.is_alive() &&
        ::syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0) != 0 && errno != ESRCH) {
      return fail_errno("keeper", "ending it", "run as the user who brought the lab up");
    }
    if (await_end(keeper)) return {};
  }
  return fail("keeper", fmt::format("process {} does not end", keeper.pid), "look at it with ps");
}

// Removes what a lab left whose keeper no longer runs. False where it stands, or somebody is at work on it.
Result<bool> remove_left_behind(const StateDirectory& state) {
  if (state.live_keeper()) return false;
  const auto claim = state.claim({});
  if (!claim || state.live_keeper()) return false;
  if (const auto keeper = state.keeper()) {
    if (auto ended = end_keeper(*keeper); !ended) return fail(ended.error());
  }
  if (auto removed = state.remove(); !removed) return fail(removed.error());
  return true;
}

}  // namespace

Result<Lab> Lab::up(Topology topology, const UpOptions& options) {
  if (!is_valid_name(options.name, kLongestName)) {
    return fail("", fmt::format("'{}' is no name for a lab", options.name),
                "use letters, digits, '-' and '_'");
  }
  const StateDirectory state(options.name);
  if (state.live_keeper()) {
    return fail(
        "", fmt::format("a lab '{}' stands already", options.name),
        fmt::format("take it down with 'lab down --name {}', or choose another --name", options.name));
  }
  if (state.exists()) {
    if (auto removed = remove_left_behind(state); !removed) return fail(removed.error());
  }
  const auto claim = state.create();
  if (!claim) return fail(claim.error());
  LabPlan plan{std::move(topology), options.seed ? *options.seed : draw_seed(), options.seed.has_value(),
               !has_privilege()};
  auto keeper = launch_keeper(state, std::move(plan), *claim);
  if (keeper) return Lab(state, *keeper);
  if (const auto half_made = state.keeper()) (void)end_keeper(*half_made);
  (void)state.remove();
  return fail(keeper.error());
}

Result<Lab> Lab::open(const std::string& name) {
  const StateDirectory state(name);
  const auto keeper = state.live_keeper();
  if (keeper && state.exists()) return Lab(state, *keeper);
  return fail("", fmt::format("no lab '{}' stands", name),
              state.exists() ? fmt::format("remove what is left of it with 'lab down --name {}'", name)
                             : "bring one up with 'lab up', or see 'lab list'");
}

Result<void> Lab::down(const std::string& name) {
  const StateDirectory state(name);
  if (!state.exists()) return fail("", fmt::format("there is no lab '{}'", name), "see 'lab list'");
  // First, and unclaimed: an `up` that is at work fails thereby, and undoes what it has done.
  if (const auto keeper = state.keeper()) {
    if (auto ended = end_keeper(*keeper); !ended) return ended;
  }
  const auto claim = state.claim(kDownWait);
  if (!claim) return state.exists() ? fail(claim.error()) : Result<void>();
  if (const auto keeper = state.live_keeper()) {  // of an `up` that had not begun with it yet
    if (auto ended = end_keeper(*keeper); !ended) return ended;
  }
  return state.remove();
}

Result<std::vector<std::string>> Lab::cleanup() {
  std::vector<std::string> removed;
  for (const std::string& name : StateDirectory::names()) {
    const auto done = remove_left_behind(StateDirectory(name));
    if (!done) return fail(done.error());
    if (*done) removed.push_back(name);
  }
  return removed;
}

Result<pid_t> Lab::holder_of(const std::string& host) const {
  const auto text = read_file(state_.file("lab.json"));
  if (!text) return fail(text.error());
  const Json summary = Json::parse(*text, nullptr, false);
  const Json hosts = summary.is_object() ? summary.value("hosts", Json::object()) : Json::object();
  if (!hosts.contains(host)) {
    std::string known;
    for (const auto& [name, unused] : hosts.items()) known += (known.empty() ? "" : ", ") + name;
    return fail("", fmt::format("there is no host '{}' in lab '{}'", host, name()), "use one of " + known);
  }
  // The number is one of the lab's PID namespace; here the process has another.
  const auto holder = find_child(keeper_.pid, hosts[host].value("holder", 0));
  if (!holder) return fail("host " + host, "its namespaces are gone", "take the lab down and up again");
  return *holder;
}

Result<int> Lab::run(const std::string& host, const std::vector<std::string>& argv) const {
  const auto holder = holder_of(host);
  if (!holder) return fail(holder.error());
  std::vector<char*> arguments;
  arguments.reserve(argv.size() + 1);
  for (const std::string& one : argv) arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  char directory[4096];
  const bool has_directory = ::getcwd(directory, sizeof directory) != nullptr;

  // A child joins, for joining changes the caller; a grandchild runs, for only children enter a PID
  // namespace.
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(host, "making a pipe");
  const UniqueFd outcome(ends[0]);
  UniqueFd failed(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(host, "forking");
  if (child == 0) {
    const auto give_up = [&](const std::string& text) {
      (void)!::write(failed.get(), text.data(), text.size());
      ::_exit(127);
    };
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (auto joined = join_namespaces_of(*holder); !joined) give_up(joined.error().to_string());
    if (!has_directory || ::chdir(directory) != 0) (void)!::chdir("/");
    const pid_t grandchild = ::fork();
    if (grandchild < 0) give_up("forking failed");
    if (grandchild == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);
      ::execvp(arguments[0], arguments.data());
      // NOLINTNEXTLINE(concurrency-mt-unsafe): this process has one thread
      give_up(argv[0] + ": " + std::strerror(errno) + "; remedy: give a program that exists");
    }
    failed.reset();
    ::signal(SIGINT, SIG_IGN);  // the terminal sends these to the whole group: the program's answer counts
    ::signal(SIGQUIT, SIG_IGN);
    int status = 0;
    while (::waitpid(grandchild, &status, 0) < 0 && errno == EINTR) {
    }
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
  failed.reset();
  std::string problem;
  for (char buffer[1024];;) {
    const ssize_t count = ::read(outcome.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    problem.append(buffer, static_cast<size_t>(count));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!problem.empty()) return fail("host " + host, problem);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Result<std::string> Lab::ask(const std::string& request) const {
  const auto socket = connect_unix(state_.file("control.sock"));
  if (!socket) return fail(socket.error());
  if (auto sent = write_all(*socket, "lab " + name(), request + "\n"); !sent) return fail(sent.error());
  const auto answer = read_until(*socket, "lab " + name(), "\n");
  if (!answer) return fail(answer.error());
  const Json json = Json::parse(*answer, nullptr, false);
  if (!json.is_object())
    return fail("lab " + name(), "the keeper gave no answer", "see " + state_.file("keeper.log"));
  if (json.contains("error")) {
    const Json& error = json["error"];
    return fail(error.value("where", ""), error.value("what", ""), error.value("remedy", ""));
  }
  return json["ok"].dump();
}

Result<void> Lab::impair(const std::string& link, const std::string& change) const {
  const size_t colon = link.find(':');
  Json request = {{"do", "impair"}, {"link", link.substr(0, colon)}, {"change", change}};
  if (colon != std::string::npos) request["from"] = link.substr(colon + 1);
  auto answer = ask(request.dump());
  if (!answer) return fail(answer.error());
  return {};
}

Result<void> Lab::set_link_up(const std::string& link, bool up) const {
  auto answer = ask(Json{{"do", "link"}, {"link", link}, {"up", up}}.dump());
  if (!answer) return fail(answer.error());
  return {};
}

Result<Captured> Lab::capture(const std::string& link_or_host, const std::string& file, CaptureLimits limits,
                              const std::function<void()>& ready) const {
  const auto answer = ask(R"({"do":"status"})");
  if (!answer) return fail(answer.error());
  const Json status = Json::parse(*answer);
  std::vector<CapturePoint> points;
  std::string known;
  const auto add = [&](const std::string& host, const std::string& interface,
                       bool only_outgoing) -> Result<void> {
    const auto holder = holder_of(host);
    if (!holder) return fail(holder.error());
    points.push_back({host + ":" + interface, interface, *holder, only_outgoing});
    return {};
  };
  for (const Json& one : status["switches"]) {  // their ports are where the keeper is
    for (const Json& interface : one["interfaces"]) {
      if (interface["link"] != link_or_host) continue;
      const std::string name = interface["name"];
      points.push_back({one["name"].get<std::string>() + ":" + name, name, keeper_.pid, true});
    }
  }
  for (const Json& host : status["hosts"]) {
    known += (known.empty() ? "" : ", ") + host["name"].get<std::string>();
    for (const Json& interface : host["interfaces"]) {
      const bool wanted = host["name"] == link_or_host || interface["link"] == link_or_host;
      if (!wanted) continue;
      if (auto added = add(host["name"], interface["name"], host["name"] != link_or_host); !added)
        return fail(added.error());
    }
  }
  CaptureKeys keys{read_file(state_.file("keys.log")).value_or(""), {}};
  for (const Json& daemon : status["daemons"]) {
    if (daemon["kind"] == "vpn")
      keys.files.push_back(key_log_file(state_, daemon["host"], daemon["interface"]));
    if (daemon["host"] != link_or_host) continue;
    if (auto added = add(daemon["host"], daemon["interface"], false); !added) return fail(added.error());
  }
  for (const Json& link : status["links"]) known += ", " + link["name"].get<std::string>();
  if (points.empty())
    return fail("", fmt::format("there is no link or host '{}' in lab '{}'", link_or_host, name()),
                "use one of " + known);
  const std::string comment =
      fmt::format("lab {}, {}, seed {}", name(), link_or_host, status["seed"].get<uint64_t>());
  return lab::capture(points, file, comment, keys, limits, ready);
}

Result<vpn::config::DeviceReport> Lab::kernel_report(const std::string& host,
                                                     const std::string& interface) const {
  const auto holder = holder_of(host);
  if (!holder) return fail(holder.error());
  const auto network = open_network_namespace(*holder);
  if (!network) return fail(network.error());
  const auto scope = NetworkNamespaceScope::enter(*network);
  if (!scope) return fail(scope.error());
  return get_kernel_device(interface);
}

Result<std::string> Lab::status_json() const {
  const auto answer = ask(R"({"do":"status"})");
  if (!answer) return fail(answer.error());
  Json status = Json::parse(*answer);
  for (Json& daemon : status["daemons"]) {
    const auto report = daemon["kind"] == "kernel"
                            ? kernel_report(daemon["host"], daemon["interface"])
                            : get_device(control_socket(state_, daemon["host"], daemon["interface"]));
    if (!report) {
      daemon["error"] = report.error().to_string();
      continue;
    }
    daemon["listen_port"] = report->listen_port;
    daemon["peers"] = Json::array();
    for (const auto& peer : report->peers) {
      daemon["peers"].push_back(
          {{"endpoint", peer.endpoint ? Json(peer.endpoint->to_string()) : Json(nullptr)},
           {"last_handshake", peer.last_handshake_seconds},
           {"received_bytes", peer.received_bytes},
           {"sent_bytes", peer.sent_bytes}});
    }
  }
  return status.dump(1);
}

}  // namespace lab
