#include "vpn/daemon/control_client.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>

#include "vpn/daemon/control_server.h"
#include "vpn/io/system.h"
#include "vpn/io/unique_fd.h"

namespace vpn::daemon {
namespace {

constexpr std::string_view kErrnoKey = "errno=";
constexpr std::string_view kErrorKey = "error=";

Result<io::UniqueFd, Error> connect_to(const std::string& interface) {
  const std::string path = control_path(interface);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  io::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
  const int error_number = errno;
  if (error_number == ENOENT || error_number == ECONNREFUSED) {
    return fail(Error{interface, 0, "", "no daemon serves this interface",
                      "start it with 'vpn up " + interface + "'"});
  }
  return fail(Error{path, 0, "", io::error_text(error_number), "run as root"});
}

bool send_all(const io::UniqueFd& socket, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (put < 0 && errno != EINTR) return false;
    if (put > 0) text.remove_prefix(static_cast<size_t>(put));
  }
  return true;
}

// Appends what comes next; false at the end.
bool receive_some(const io::UniqueFd& socket, std::string& text) {
  std::array<char, 65536> bytes;
  ssize_t got = 0;
  do {
    got = recv(socket.get(), bytes.data(), bytes.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return false;
  text.append(bytes.data(), static_cast<size_t>(got));
  return true;
}

// The lines before the last, which must be "errno=N".
Result<std::string, Error> read_answer(const std::string& interface, std::string answer) {
  const Error broken{interface, 0, "", "the daemon's answer is not one", "see its log"};
  if (!answer.ends_with("\n\n")) return fail(broken);
  answer.pop_back();
  const size_t last = answer.rfind('\n', answer.size() - 2);
  const size_t begin = last == std::string::npos ? 0 : last + 1;
  const std::string_view line = std::string_view(answer).substr(begin);
  if (!line.starts_with(kErrnoKey)) return fail(broken);
  int error_number = 0;
  std::from_chars(line.data() + kErrnoKey.size(), line.data() + line.size(), error_number);
  answer.resize(begin);
  if (error_number == 0) return answer;
  if (answer.starts_with(kErrorKey)) {
    return fail(Error{"", 0, "", answer.substr(kErrorKey.size(), answer.find('\n') - kErrorKey.size()), ""});
  }
  return fail(Error{interface, 0, "", "the daemon refused: " + io::error_text(std::abs(error_number)),
                    "see its log"});
}

Result<std::string, Error> ask(const io::UniqueFd& socket, const std::string& interface,
                               std::string_view request) {
  std::string answer;
  if (!send_all(socket, request)) return read_answer(interface, answer);
  while (!answer.ends_with("\n\n") && receive_some(socket, answer)) {
  }
  return read_answer(interface, std::move(answer));
}

}  // namespace

Result<std::string, Error> ask_daemon(const std::string& interface, std::string_view request) {
  const auto socket = connect_to(interface);
  if (!socket) return fail(socket.error());
  return ask(*socket, interface, request);
}

Result<bool, Error> stop_daemon(const std::string& interface) {
  const auto socket = connect_to(interface);
  if (!socket) return fail(socket.error());
  auto answer = ask(*socket, interface, "stop=1\n\n");
  if (!answer) return fail(std::move(answer.error()));
  std::string rest;
  while (receive_some(*socket, rest)) {  // the daemon keeps the connection until all is undone
  }
  return true;
}

std::vector<std::string> interfaces_with_daemon() {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(kControlFolder, ignored)) {
    if (entry.path().extension() == ".sock") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace vpn::daemon
