#include "vpn/daemon/control_server.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "vpn/io/system.h"

namespace vpn::daemon {
namespace {

constexpr size_t kMostConnections = 64;
constexpr size_t kLongestRequest = size_t{64} << 20;  // 65,536 peers with many allowed-IPs
constexpr size_t kLongestOperation = 32;

Error socket_error(const std::string& path, int error_number) {
  return {path, 0, "", "cannot be made: " + io::error_text(error_number),
          "run as root, and see that /var/run can be written"};
}

sockaddr_un to_address(const std::string& path) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

bool somebody_answers(const sockaddr_un& address) noexcept {
  const io::UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

void wipe_text(std::string& text) noexcept {
  sodium_memzero(text.data(), text.size());
  text.clear();
}

io::UniqueFd open_spare() noexcept {
  return io::UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

bool is_operation(std::string_view line) noexcept {
  return line.size() > 2 && line.size() <= kLongestOperation && line.ends_with("=1") &&
         line.substr(0, line.size() - 2).find_first_not_of("abcdefghijklmnopqrstuvwxyz_") ==
             std::string_view::npos;
}

}  // namespace

std::string control_path(const std::string& interface) {
  return std::string(kControlFolder) + "/" + interface + ".sock";
}

Result<std::unique_ptr<ControlServer>, Error> ControlServer::listen(io::EventLoop& loop, Options options) {
  const std::string path = control_path(options.interface);
  if (mkdir(kControlFolder, 0755) != 0 && errno != EEXIST) return fail(socket_error(kControlFolder, errno));
  const sockaddr_un address = to_address(path);
  if (somebody_answers(address)) {
    return fail(Error{path, 0, "", "another daemon serves this interface",
                      "end it with 'vpn down " + options.interface + "'"});
  }
  unlink(path.c_str());
  io::UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const mode_t mask = umask(0177);
  const int bound = bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int bind_error = errno;
  umask(mask);
  if (bound != 0) return fail(socket_error(path, bind_error));
  io::UniqueFd watcher(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!watcher.is_open()) {
    const int error_number = errno;
    unlink(path.c_str());
    return fail(Error{path, 0, "", "cannot be watched: " + io::error_text(error_number),
                      "raise the limit of watchers: sysctl fs.inotify.max_user_instances=1024"});
  }
  const uint32_t events = IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF;
  if (::listen(listener.get(), SOMAXCONN) != 0 ||
      inotify_add_watch(watcher.get(), kControlFolder, events) < 0) {
    const int error_number = errno;
    unlink(path.c_str());
    return fail(socket_error(path, error_number));
  }
  return std::unique_ptr<ControlServer>(
      new ControlServer(loop, std::move(options), std::move(listener), std::move(watcher)));
}

ControlServer::ControlServer(io::EventLoop& loop, Options options, io::UniqueFd listener,
                             io::UniqueFd watcher)
    : loop_(loop),
      options_(std::move(options)),
      path_(control_path(options_.interface)),
      listener_(std::move(listener)),
      watcher_(std::move(watcher)),
      spare_(open_spare()) {
  struct stat file {};
  if (stat(path_.c_str(), &file) == 0) {
    device_ = file.st_dev;
    inode_ = file.st_ino;
  }
  loop_.watch(listener_.get(), [this] { accept_all(); });
  loop_.watch(watcher_.get(), [this] { check_file(); });
}

ControlServer::~ControlServer() {
  loop_.unwatch(listener_.get());
  loop_.unwatch(watcher_.get());
  for (const auto& [fd, connection] : connections_) loop_.unwatch(fd);
  if (file_is_ours()) unlink(path_.c_str());
}

void ControlServer::give_to(unsigned user, unsigned group) noexcept {
  const bool given =
      chown(path_.c_str(), user, group) == 0 && chown(kControlFolder, static_cast<uid_t>(-1), group) == 0;
  if (given) chmod(kControlFolder, 01775);
}

bool ControlServer::file_is_ours() const noexcept {
  struct stat file {};
  return stat(path_.c_str(), &file) == 0 && file.st_dev == device_ && file.st_ino == inode_;
}

void ControlServer::check_file() {
  alignas(inotify_event) std::array<char, 4096> events;
  while (read(watcher_.get(), events.data(), events.size()) > 0) {
  }
  if (!file_is_ours() && options_.on_removed) std::exchange(options_.on_removed, {})();
}

io::UniqueFd ControlServer::accept_next() noexcept {
  const auto accept_one = [this] {
    return io::UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  };
  io::UniqueFd accepted = accept_one();
  // Left where they are they would wake us without end, and wait without end themselves.
  while (!accepted.is_open() && (errno == EMFILE || errno == ENFILE) && spare_.is_open()) {
    spare_.reset();
    const bool refused = accept_one().is_open();
    spare_ = open_spare();
    if (!refused) break;
    accepted = accept_one();
  }
  return accepted;
}

void ControlServer::accept_all() {
  while (true) {
    io::UniqueFd accepted = accept_next();
    if (!accepted.is_open()) return;
    if (connections_.size() >= kMostConnections) continue;  // closes it
    const int fd = accepted.get();
    connections_[fd].fd = std::move(accepted);
    loop_.watch(fd, [this, fd] { serve(fd); });
  }
}

void ControlServer::close_connection(int fd) {
  loop_.unwatch(fd);
  const auto found = connections_.find(fd);
  wipe_text(found->second.input);
  wipe_text(found->second.output);
  connections_.erase(found);
}

void ControlServer::serve(int fd) {
  Connection& connection = connections_.at(fd);
  if (connection.output.empty()) {
    std::array<char, 65536> bytes;
    const ssize_t got = recv(fd, bytes.data(), bytes.size(), 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return close_connection(fd);
    if (got > 0) connection.input.append(bytes.data(), static_cast<size_t>(got));
    sodium_memzero(bytes.data(), bytes.size());
  }
  while (true) {
    answer_requests(connection);
    if (connection.output.empty()) break;  // no whole request is there
    if (!write_some(connection)) return close_connection(fd);
    if (!connection.output.empty()) break;  // the client has not taken the answer yet
    if (connection.closing) return close_connection(fd);
  }
  // While an answer waits to be taken no further request is read.
  loop_.watch_writable(fd, !connection.output.empty());
}

void ControlServer::answer_requests(Connection& connection) {
  const auto refuse = [&](int error_number) {
    connection.output += "errno=" + std::to_string(error_number) + "\n\n";
    connection.closing = true;
    wipe_text(connection.input);
  };
  while (connection.output.empty() && !connection.input.empty()) {
    const std::string_view input = connection.input;
    const size_t line_end = input.find('\n');
    if (line_end == std::string_view::npos) {
      if (input.size() > kLongestOperation) refuse(EPROTO);
      return;
    }
    if (!is_operation(input.substr(0, line_end))) return refuse(EPROTO);
    // Searching from where the last search ended keeps a request of many reads linear.
    const size_t from = std::max(line_end, connection.searched > 0 ? connection.searched - 1 : 0);
    const size_t end = input.find("\n\n", from);
    connection.searched = input.size();
    if (end == std::string_view::npos) {
      if (input.size() > kLongestRequest) refuse(E2BIG);
      return;
    }
    const std::string_view lines =
        end > line_end ? input.substr(line_end + 1, end - line_end) : std::string_view();
    connection.output = options_.handler(input.substr(0, line_end - 2), lines);
    std::string rest(input.substr(end + 2));
    wipe_text(connection.input);
    connection.input = std::move(rest);
    connection.searched = 0;
  }
}

bool ControlServer::write_some(Connection& connection) {
  while (connection.written < connection.output.size()) {
    const ssize_t put = send(connection.fd.get(), connection.output.data() + connection.written,
                             connection.output.size() - connection.written, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0 && errno == EAGAIN) return true;
    if (put < 0 && errno != EINTR) return false;
    if (put > 0) connection.written += static_cast<size_t>(put);
  }
  wipe_text(connection.output);
  connection.written = 0;
  return true;
}

}  // namespace vpn::daemon
