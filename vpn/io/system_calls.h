// The packet system calls, so that a test can stand in for a kernel that refuses.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace vpn::io {

class SystemCalls {
 public:
  virtual ~SystemCalls() = default;
  // As readv(2), and so on: -1 and errno on failure.
  virtual ssize_t readv(int fd, const iovec* parts, int count) noexcept;
  virtual ssize_t writev(int fd, const iovec* parts, int count) noexcept;
  virtual ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept;
  virtual int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept;
  virtual int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept;
};

// The system's own. Has no state, so that all may use it.
[[nodiscard]] SystemCalls& system_calls() noexcept;

}  // namespace vpn::io
