// Processes of our own: programs that are started, and a companion that keeps the rights that this one gives
// away.
#pragma once

#include <spawn.h>
#include <sys/types.h>

#include <functional>

#include "vpn/io/unique_fd.h"

namespace vpn::io {

// For posix_spawn: the program finds no signal blocked, and SIGINT, SIGTERM and SIGHUP, which we may ignore,
// end it.
class SpawnAttributes {
 public:
  SpawnAttributes() noexcept;
  ~SpawnAttributes() { posix_spawnattr_destroy(&attributes_); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;

  [[nodiscard]] const posix_spawnattr_t* get() const noexcept { return &attributes_; }

 private:
  posix_spawnattr_t attributes_{};
};

// Gives back what the start has left in memory: free parts of the heap, and pages of code and constants. Of
// the latter those still used come back one by one, without reading a disk where the system has room for
// them.
void give_back_memory_of_start() noexcept;

// Lets go of the terminal that a process was started from.
void close_standard_files() noexcept;

// A process that does on request what this one will have no right to.
class Companion {
 public:
  // Runs until the channel, a SOCK_SEQPACKET, ends.
  using Serve = std::function<void(const UniqueFd& channel)>;

  // To be made before there are threads. Of what is open the companion keeps the standard files and its end
  // of the channel; what ends a whole group of processes (Ctrl-C, a service manager) does not end it. `name`,
  // of at most 15 bytes, is what ps(1) calls it.
  Companion(const char* name, const Serve& serve);
  ~Companion();  // waits for its end
  Companion(const Companion&) = delete;
  Companion& operator=(const Companion&) = delete;

  // Not open where no process could be made. Whether it is gone, sending and receiving tell.
  [[nodiscard]] const UniqueFd& channel() const noexcept { return channel_; }

 private:
  UniqueFd channel_;
  pid_t process_ = -1;
};

}  // namespace vpn::io
