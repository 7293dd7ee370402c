#include "lab/run/services.h"

#include <fmt/format.h>

#include <chrono>
#include <sstream>
#include <thread>

#include "lab/run/tunnels.h"

namespace lab {

namespace {

constexpr std::chrono::seconds kServiceStart{10};
constexpr std::chrono::milliseconds kServicePoll{2};
constexpr uint16_t kHttpPort = 80;
constexpr uint16_t kDnsPort = 53;
constexpr uint16_t kIperf3Port = 5201;

std::vector<std::string> command_of(const Service& service) {
  switch (service.kind) {
    case ServiceKind::kHttp:
      return {"python3", "-m", "http.server", "--directory", "/usr/share/common-licenses", "80"};
    case ServiceKind::kDns:
      return {"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv"};
    case ServiceKind::kIperf3:
      return {"iperf3", "--server"};
    case ServiceKind::kCommand:
      break;
  }
  return service.command;
}

uint16_t port_of(ServiceKind kind) {
  switch (kind) {
    case ServiceKind::kHttp:
      return kHttpPort;
    case ServiceKind::kDns:
      return kDnsPort;
    case ServiceKind::kIperf3:
      return kIperf3Port;
    case ServiceKind::kCommand:
      break;
  }
  return 0;
}

// Whether something listens on a TCP port of the calling thread's network namespace: state 0A of
// /proc/net/tcp.
bool is_listening(uint16_t port) {
  const std::string local = fmt::format(":{:04X} ", port);
  for (const char* table : {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"}) {
    std::istringstream lines(read_file(table).value_or(""));
    for (std::string line; std::getline(lines, line);) {
      const size_t at = line.find(local);
      if (at != std::string::npos && at < line.find(" 0A ")) return line.find(" 0A ") != std::string::npos;
    }
  }
  return false;
}

}  // namespace

Result<pid_t> start_service(const StateDirectory& state, const HostNamespace& host, const Service& service) {
  std::vector<std::string> argv = command_of(service);
  auto program = find_program(argv[0]);
  if (!program) return fail(program.error());
  argv[0] = *program;
  return host.spawn(argv, service_log(state, service));
}

std::string service_log(const StateDirectory& state, const Service& service) {
  return state.file("logs/" + service.host + "-" + service.name + ".log");
}

Result<void> await_service(const StateDirectory& state, const HostNamespace& host, const Service& service) {
  const uint16_t port = port_of(service.kind);
  if (port == 0) return {};
  const auto scope = NetworkNamespaceScope::enter(host.network());
  if (!scope) return fail(scope.error());
  const auto deadline = std::chrono::steady_clock::now() + kServiceStart;
  while (!is_listening(port)) {
    if (std::chrono::steady_clock::now() > deadline) {
      return fail("host " + host.name() + ", service " + service.name,
                  fmt::format("nothing listens on port {} after ten seconds", port),
                  "see " + service_log(state, service));
    }
    std::this_thread::sleep_for(kServicePoll);
  }
  return {};
}

}  // namespace lab
