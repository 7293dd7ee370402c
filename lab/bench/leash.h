// Leash: takes the lab of a benchmark down when the benchmark ends, however it ends.
#pragma once

#include <sys/types.h>

#include <string>

#include "lab/error.h"
#include "lab/kernel/unique_fd.h"

namespace lab::bench {

class Leash {
 public:
  // Forks a process that waits for this one to end, be it by `kill -9`, and then takes the lab down, if it
  // stands. From now on SIGINT, SIGTERM and SIGHUP end this process with the lab gone already.
  [[nodiscard]] static Result<Leash> tie(const std::string& lab);
  Leash(Leash&& other) noexcept : held_(std::move(other.held_)), watcher_(std::exchange(other.watcher_, 0)) {}
  Leash& operator=(Leash&&) = delete;
  // Lets the watcher do its work, and waits for it.
  ~Leash();

 private:
  Leash(UniqueFd held, pid_t watcher) : held_(std::move(held)), watcher_(watcher) {}

  UniqueFd held_;  // no other process has it: that it is closed says that we are gone
  pid_t watcher_ = 0;
};

}  // namespace lab::bench
