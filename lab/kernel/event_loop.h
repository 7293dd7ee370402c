// EventLoop: calls back when a descriptor is readable, and when the earliest deadline has passed. One thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "lab/kernel/unique_fd.h"

namespace lab {

using SteadyTime = std::chrono::steady_clock::time_point;

// Something that must be looked after at a time of its own choosing.
class Timed {
 public:
  virtual ~Timed() = default;
  // When it is next due; nothing where it is not waiting for time.
  [[nodiscard]] virtual std::optional<SteadyTime> next_due() const = 0;
  virtual void handle_due(SteadyTime now) = 0;
};

class EventLoop {
 public:
  EventLoop();

  // `ready` is called whenever `fd` can be read. The caller keeps the descriptor, and unwatches it before
  // closing it.
  void watch(int fd, std::function<void()> ready);
  // The same for writing, of a descriptor that is watched or not; it is no longer watched for reading then.
  void watch_writable(int fd, std::function<void()> ready);
  void unwatch(int fd);
  // `timed` must outlive the loop.
  void add(Timed& timed) { timed_.push_back(&timed); }
  // Until stop().
  void run();
  void stop() { running_ = false; }

 private:
  void run_once();

  UniqueFd epoll_;
  std::map<int, std::shared_ptr<std::function<void()>>> ready_;
  std::vector<Timed*> timed_;
  bool running_ = true;
};

}  // namespace lab
