#include "vpn/cli/control_client.h"

#include <net/if.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <thread>

#include "vpn/config/text.h"
#include "vpn/daemon/control_server.h"
#include "vpn/io/system.h"
#include "vpn/io/unique_fd.h"

namespace vpn::cli {
namespace {

constexpr std::string_view kErrnoKey = "errno=";
constexpr std::string_view kErrorKey = "error=";
constexpr std::string_view kWarningKey = "warning=";
constexpr std::string_view kResolvingKey = "resolving=";
constexpr size_t kLongestAnswer = size_t{256} << 20;

// The errno of the failure, or the connected socket.
Result<io::UniqueFd, int> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(ENAMETOOLONG);
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  io::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return fail(errno);
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(errno);
  return socket;
}

Error connect_error(const std::string& path, const std::string& interface, int error_number) {
  if (error_number == ENOENT || error_number == ECONNREFUSED) {
    return {interface, 0, "", "no daemon serves this interface", "start it with 'vpn up " + interface + "'"};
  }
  return {path, 0, "", io::error_text(error_number),
          error_number == EACCES ? "run as root" : "check the path"};
}

bool send_all(const io::UniqueFd& socket, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (put < 0 && errno != EINTR) return false;
    if (put > 0) text.remove_prefix(static_cast<size_t>(put));
  }
  return true;
}

// The text of an answer, which may hold keys: it grows without leaving copies behind.
class AnswerBuffer {
 public:
  AnswerBuffer() = default;
  AnswerBuffer(const AnswerBuffer&) = delete;
  AnswerBuffer& operator=(const AnswerBuffer&) = delete;
  ~AnswerBuffer() { wipe({reinterpret_cast<uint8_t*>(text_.data()), text_.size()}); }

  // Receives what comes next. False at the end, and on an error or a time-out, which errno tells; at the end
  // errno is 0.
  [[nodiscard]] bool receive(const io::UniqueFd& socket) {
    if (length_ == text_.size()) grow();
    ssize_t got = 0;
    do {
      errno = 0;
      got = recv(socket.get(), text_.data() + length_, text_.size() - length_, 0);
    } while (got < 0 && errno == EINTR);
    if (got > 0) length_ += static_cast<size_t>(got);
    if (length_ > kLongestAnswer) errno = EMSGSIZE;
    return got > 0 && length_ <= kLongestAnswer;
  }
  [[nodiscard]] std::string_view view() const noexcept { return std::string_view(text_).substr(0, length_); }

 private:
  void grow() {
    std::string larger(std::max<size_t>(65536, 2 * text_.size()), '\0');
    text_.copy(larger.data(), length_);
    text_.swap(larger);
    wipe({reinterpret_cast<uint8_t*>(larger.data()), larger.size()});
  }

  std::string text_;
  size_t length_ = 0;
};

Result<daemon::SecretText, Error> read_answer(const std::string& interface, std::string_view answer) {
  const Error broken{interface, 0, "", "what serves this interface gave no answer of the control protocol",
                     "see the daemon's log"};
  if (!answer.ends_with("\n\n")) return fail(broken);
  answer.remove_suffix(1);
  const size_t last = answer.rfind('\n', answer.size() - 2);
  const size_t begin = last == std::string_view::npos ? 0 : last + 1;
  const std::string_view line = answer.substr(begin, answer.size() - 1 - begin);
  int error_number = 0;
  const auto [end, error] = std::from_chars(line.data() + std::min(kErrnoKey.size(), line.size()),
                                            line.data() + line.size(), error_number);
  if (!line.starts_with(kErrnoKey) || error != std::errc{} || end != line.data() + line.size())
    return fail(broken);
  const std::string_view lines = answer.substr(0, begin);
  if (error_number == 0) return daemon::SecretText(std::string(lines));
  if (lines.starts_with(kErrorKey)) {
    return fail(Error{"", 0, "",
                      std::string(lines.substr(kErrorKey.size(), lines.find('\n') - kErrorKey.size())), ""});
  }
  return fail(Error{interface, 0, "", "the daemon refused: " + io::error_text(std::abs(error_number)),
                    "see the daemon's log"});
}

std::optional<uint32_t> interface_index(std::string_view name) {
  const unsigned index = if_nametoindex(std::string(name).c_str());
  return index != 0 ? std::optional<uint32_t>(index) : std::nullopt;
}

}  // namespace

std::string ControlClient::default_folder() {
  return daemon::kControlFolder;
}

std::vector<std::string> ControlClient::interfaces() const {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, ignored)) {
    const std::string name = entry.path().stem();
    if (entry.path().extension() != ".sock" || !config::is_interface_name(name)) continue;
    if (has_daemon(name)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string ControlClient::socket_path(const std::string& interface) const {
  return folder_ + "/" + interface + ".sock";
}

bool ControlClient::has_daemon(const std::string& interface) const {
  const auto socket = connect_to(socket_path(interface));
  return socket || (socket.error() != ECONNREFUSED && socket.error() != ENOENT);
}

Result<config::DeviceReport, Error> ControlClient::get(const std::string& interface) const {
  const auto answer = ask(interface, "get=1\n\n", kPatience);
  if (!answer) return fail(answer.error());
  auto report = config::parse_get(answer->view(), interface_index);
  if (!report) {
    const config::UapiError& error = report.error();
    return fail(Error{interface, 0, error.key,
                      "line " + std::to_string(error.line) + " of the daemon's answer is malformed",
                      "see whether the daemon and this program are of one version"});
  }
  return std::move(*report);
}

Result<void, Error> ControlClient::set(const std::string& interface,
                                       const config::DeviceChange& change) const {
  const daemon::SecretText lines(config::emit_set(change));
  const daemon::SecretText request("set=1\n" + std::string(lines.view()) + "\n");
  const auto answer = ask(interface, request.view(), kPatience);
  if (!answer) return fail(answer.error());
  return {};
}

Result<std::string, Error> ControlClient::reload(const std::string& interface) const {
  const auto answer = [&] {
    while (true) {
      auto one = ask(interface, "reload=1\n\n", std::chrono::seconds(0));
      if (!one || !one->view().starts_with(kResolvingKey)) return one;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the daemon waits for a name server
    }
  }();
  if (!answer) return fail(answer.error());
  const std::string_view lines = answer->view();
  if (!lines.starts_with(kWarningKey)) return std::string();
  return std::string(lines.substr(kWarningKey.size(), lines.find('\n') - kWarningKey.size()));
}

Result<void, Error> ControlClient::stop(const std::string& interface) const {
  // The daemon answers at once, and keeps the connection until all is undone, however long that takes.
  const auto answer = ask(interface, "stop=1\n\n", kPatience, Until::kClosed);
  if (!answer) return fail(answer.error());
  return {};
}

Result<daemon::SecretText, Error> ControlClient::ask(const std::string& interface, std::string_view request,
                                                     std::chrono::seconds patience, Until until) const {
  if (!config::is_interface_name(interface)) {
    return fail(Error{interface, 0, "", "not an interface name", "give 1 to 15 letters, digits or _=+.-"});
  }
  const std::string path = socket_path(interface);
  const auto socket = connect_to(path);
  if (!socket) return fail(connect_error(path, interface, socket.error()));
  const auto set_limit = [&socket](timeval limit) {
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
      setsockopt(socket->get(), SOL_SOCKET, option, &limit, sizeof limit);
    }
  };
  set_limit({patience.count(), 0});
  AnswerBuffer answer;
  // A daemon may answer and close before it has read everything, so a failed send is no reason not to listen.
  errno = 0;
  bool open = send_all(*socket, request) || errno == EPIPE;
  while (open && !answer.view().ends_with("\n\n")) open = answer.receive(*socket);
  if (open && until == Until::kClosed) {
    set_limit({});
    while (answer.receive(*socket)) {
    }
  }
  if (!open && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    return fail(Error{interface, 0, "", "the daemon is silent for " + std::to_string(patience.count()) + " s",
                      "see its log, or end its process and run 'vpn cleanup'"});
  }
  return read_answer(interface, answer.view());
}

}  // namespace vpn::cli
