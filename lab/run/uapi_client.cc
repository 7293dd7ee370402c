#include "lab/run/uapi_client.h"

#include "lab/run/state_directory.h"

namespace lab {
namespace {

// The lines of the answer without "errno=0" and the empty line.
Result<std::string> ask_daemon(const std::string& socket_path, const std::string& request) {
  const auto socket = connect_unix(socket_path);
  if (!socket) return fail(socket.error());
  if (auto sent = write_all(*socket, socket_path, request); !sent) return fail(sent.error());
  auto answer = read_until(*socket, socket_path, "\n\n");
  if (!answer) return fail(answer.error());
  const size_t at = answer->rfind("errno=");
  if (at == std::string::npos) return fail(socket_path, "the daemon's answer has no errno");
  const std::string code = answer->substr(at + 6, answer->find('\n', at) - at - 6);
  if (code != "0")
    return fail(socket_path, "the daemon refused the request with errno " + code, "see its log");
  answer->resize(at);
  return std::move(*answer);
}

}  // namespace

Result<void> set_device(const std::string& socket, const vpn::config::DeviceChange& change) {
  auto answer = ask_daemon(socket, "set=1\n" + vpn::config::emit_set(change) + "\n");
  if (!answer) return fail(answer.error());
  return {};
}

Result<vpn::config::DeviceReport> get_device(const std::string& socket) {
  const auto answer = ask_daemon(socket, "get=1\n\n");
  if (!answer) return fail(answer.error());
  auto report = vpn::config::parse_get(*answer);
  if (!report)
    return fail(socket, "the daemon's answer is malformed at line " + std::to_string(report.error().line));
  return std::move(*report);
}

}  // namespace lab
