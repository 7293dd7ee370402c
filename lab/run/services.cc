#include "lab/run/services.h"

#include "lab/run/tunnels.h"

namespace lab {

Result<pid_t> start_service(const StateDirectory& state, const HostNamespace& host, const Service& service) {
  std::vector<std::string> argv;
  switch (service.kind) {
    case ServiceKind::kHttp:
      argv = {"python3", "-m", "http.server", "--directory", "/usr/share/common-licenses", "80"};
      break;
    case ServiceKind::kDns:
      argv = {"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv"};
      break;
    case ServiceKind::kIperf3:
      argv = {"iperf3", "--server"};
      break;
    case ServiceKind::kCommand:
      argv = service.command;
      break;
  }
  auto program = find_program(argv[0]);
  if (!program) return fail(program.error());
  argv[0] = *program;
  return host.spawn(argv, state.file("logs/" + host.name() + "-" + service.name + ".log"));
}

}  // namespace lab
