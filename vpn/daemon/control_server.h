// ControlServer: the UNIX socket of the control protocol. It frames requests and answers; what they mean is
// the handler's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/io/event_loop.h"
#include "vpn/io/unique_fd.h"

namespace vpn::daemon {

inline constexpr char kControlFolder[] = "/var/run/wireguard";
// "/var/run/wireguard/wg0.sock", where wg(8) looks too.
[[nodiscard]] std::string control_path(const std::string& interface);

class ControlServer {
 public:
  // `operation` is the request's first line without "=1" ("get", "set"), `lines` the rest without the empty
  // line at the end. Returns the whole answer.
  using Handler = std::function<std::string(std::string_view operation, std::string_view lines)>;
  struct Options {
    std::string interface;
    Handler handler;
    std::function<void()> on_removed;  // the socket file is gone: the daemon is to end
  };

  // Listens at /var/run/wireguard/INTERFACE.sock, mode 0600. A socket that nobody answers on is replaced; one
  // that answers is an error. `loop` must outlive the server.
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>, Error> listen(io::EventLoop& loop,
                                                                            Options options);
  // Closes every connection, and removes the file if it is still ours.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Hands the socket's file to a user who is to be able to remove it. The folder gets that group, and the
  // sticky bit, so that each daemon's user removes its own sockets and no other's.
  void give_to(unsigned user, unsigned group) noexcept;

 private:
  struct Connection {
    io::UniqueFd fd;
    std::string input;
    size_t searched = 0;  // of the input, for the end of a request
    std::string output;
    size_t written = 0;    // of the output
    bool closing = false;  // after the output is written
  };
  ControlServer(io::EventLoop& loop, Options options, io::UniqueFd listener, io::UniqueFd watcher);

  void accept_all();
  // The next who waits, closed where there is no descriptor for them.
  [[nodiscard]] io::UniqueFd accept_next() noexcept;
  void serve(int fd);
  void answer_requests(Connection& connection);
  // False: the connection is broken.
  [[nodiscard]] static bool write_some(Connection& connection);
  void close_connection(int fd);
  void check_file();
  [[nodiscard]] bool file_is_ours() const noexcept;

  io::EventLoop& loop_;
  Options options_;
  std::string path_;
  io::UniqueFd listener_;
  io::UniqueFd watcher_;  // inotify on the folder
  io::UniqueFd spare_;    // a descriptor to have when there are no more
  uint64_t device_ = 0, inode_ = 0;
  std::map<int, Connection> connections_;
};

}  // namespace vpn::daemon
