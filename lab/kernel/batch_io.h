// BatchIo: reads and writes of descriptors, many with one system call. Entering and leaving the kernel costs
// a small frame as much as all that the kernel does with it.
//
// The one call is io_uring's, which carries out what does not block while it is submitted, in order. Where
// the kernel lends no ring (a sysctl, a container's seccomp filter), each read and write is a system call of
// its own.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace lab {

// One read or write, and what came of it.
struct Transfer {
  int fd = -1;  // non-blocking; the caller keeps it
  uint8_t* memory = nullptr;
  size_t length = 0;   // of a read: the room
  ssize_t result = 0;  // bytes, or the negative of errno
};

class BatchIo {
 public:
  BatchIo();
  ~BatchIo();
  BatchIo(const BatchIo&) = delete;
  BatchIo& operator=(const BatchIo&) = delete;

  // Carry out all of them in order, and fill in the results. What would block has the result -EAGAIN.
  void read(std::span<Transfer> transfers) { carry_out(Operation::kRead, transfers); }
  void write(std::span<Transfer> transfers) { carry_out(Operation::kWrite, transfers); }

  // So many go with one system call: where that is one, asking for more than there may be costs a call each.
  [[nodiscard]] size_t most_at_once() const { return ring_ == nullptr ? 1 : kMostAtOnce; }
  // Why each transfer is a system call of its own; empty where many share one.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }

 private:
  enum class Operation { kRead, kWrite };
  struct Ring;
  static constexpr size_t kMostAtOnce = 64;

  void carry_out(Operation operation, std::span<Transfer> transfers);
  // Where the ring refuses some, it is given up, and their results are still kNotDone.
  void carry_out_by_ring(Operation operation, std::span<Transfer> transfers);
  void give_up_ring(int error);

  std::unique_ptr<Ring> ring_;
  std::string refusal_;
};

}  // namespace lab
