// EventLoop: epoll with one timer and the signals of the process, for one thread; others may hand it work.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/base/time.h"
#include "vpn/io/unique_fd.h"

namespace vpn::io {

class EventLoop {
 public:
  using Handler = std::function<void()>;
  using SignalHandler = std::function<void(int signal)>;

  // Fails where the process may have no more descriptors.
  [[nodiscard]] static Result<EventLoop, Error> create();

  // Calls `handler` while `fd` is readable or has failed (level-triggered). The descriptor stays the
  // caller's, who removes it before closing it. A handler may add and remove any descriptor, its own too.
  void watch(int fd, Handler handler);
  // Calls it while the descriptor is writable instead, or has failed; that it is readable is not told then.
  void watch_writable(int fd, bool on);
  void unwatch(int fd) noexcept;

  // Blocks these signals for the process and hands them to `handler` from run(). Call it before any thread
  // starts.
  [[nodiscard]] Result<bool, Error> watch_signals(const std::vector<int>& signals, SignalHandler handler);

  // The time at which `handler` is due. It may come earlier too, at a time that was set before; setting no
  // time leaves the earlier one standing. The handler, or what runs after the round, sets the next.
  void set_timer_handler(Handler handler) { timer_handler_ = std::move(handler); }
  void set_timer(std::optional<Instant> when) noexcept;

  // Runs until stop(). After each round of handlers `after_round` is called once.
  void run(const Handler& after_round);
  void stop() noexcept { stopped_ = true; }

  // From any thread: has run() do a round, and in it, before the other handlers, what was posted.
  void wake() noexcept;
  void post(Handler task);

 private:
  struct Watch {
    int fd;
    Handler handler;
    bool removed = false;
  };
  struct Posted {
    std::mutex mutex;
    std::vector<Handler> tasks;
  };
  EventLoop() = default;
  void run_posted();

  UniqueFd epoll_;
  UniqueFd timer_;
  UniqueFd signals_;
  UniqueFd wake_;
  std::unique_ptr<Posted> posted_ = std::make_unique<Posted>();
  std::map<int, std::shared_ptr<Watch>> watches_;
  Handler timer_handler_;
  std::optional<Instant> timer_due_;
  bool stopped_ = false;
};

}  // namespace vpn::io
