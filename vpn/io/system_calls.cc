#include "vpn/io/system_calls.h"

namespace vpn::io {

ssize_t SystemCalls::readv(int fd, const iovec* parts, int count) noexcept {
  return ::readv(fd, parts, count);
}

ssize_t SystemCalls::writev(int fd, const iovec* parts, int count) noexcept {
  return ::writev(fd, parts, count);
}

ssize_t SystemCalls::sendmsg(int fd, const msghdr* message, int flags) noexcept {
  return ::sendmsg(fd, message, flags);
}

int SystemCalls::sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept {
  return ::sendmmsg(fd, messages, count, flags);
}

int SystemCalls::recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept {
  return ::recvmmsg(fd, messages, count, flags, nullptr);
}

SystemCalls& system_calls() noexcept {
  static SystemCalls calls;
  return calls;
}

}  // namespace vpn::io
