#include "vpn/cli/test_daemon.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace vpn::cli {

TestDaemon::TestDaemon(const std::string& path, Handler handler)
    : handler_(std::move(handler)), listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  EXPECT_EQ(bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << path;
  EXPECT_EQ(listen(listener_.get(), 8), 0);
  int ends[2] = {-1, -1};
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  stop_read_ = io::UniqueFd(ends[0]);
  stop_write_ = io::UniqueFd(ends[1]);
  thread_ = std::thread([this] { serve(); });
}

TestDaemon::~TestDaemon() {
  stop_write_.reset();
  thread_.join();
}

std::vector<std::string> TestDaemon::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void TestDaemon::serve() {
  while (true) {
    pollfd ready[] = {{listener_.get(), POLLIN, 0}, {stop_read_.get(), POLLIN, 0}};
    if (poll(ready, 2, -1) < 0 || ready[1].revents != 0) return;
    const io::UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection.is_open()) serve_one(connection.get());
  }
}

void TestDaemon::serve_one(int fd) {
  std::string request;
  while (!request.ends_with("\n\n")) {
    pollfd ready[] = {{fd, POLLIN, 0}, {stop_read_.get(), POLLIN, 0}};
    if (poll(ready, 2, -1) < 0 || ready[1].revents != 0) return;
    char bytes[4096];
    const ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    if (got <= 0) return;
    request.append(bytes, static_cast<size_t>(got));
  }
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
  }
  const std::string answer = handler_(request);
  (void)!send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
}

}  // namespace vpn::cli
