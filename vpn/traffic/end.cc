#include "vpn/traffic/end.h"

#include <sched.h>

#include <cerrno>
#include <thread>

#include "vpn/io/system.h"
#include "vpn/io/udp_address_codec.h"

namespace vpn::traffic {

Error system_error(const End& end, const std::string& what) {
  return Error{end.address.to_string(), 0, "", what + ": " + io::error_text(errno), ""};
}

Result<io::UniqueFd, Error> open_socket(const End& end, int type, int protocol) {
  const int family = end.address.is_ipv4() ? AF_INET : AF_INET6;
  int fd = -1;
  int problem = 0;
  const auto make = [&] {
    fd = ::socket(family, type | SOCK_CLOEXEC, protocol);
    if (fd < 0) problem = errno;
  };
  if (end.network < 0) {
    make();
  } else {
    // A socket stays in the namespace it was made in, so a thread that lives only for that may go there.
    std::thread([&] {
      if (::setns(end.network, CLONE_NEWNET) != 0) {
        problem = errno;
        return;
      }
      make();
    }).join();
  }
  if (fd >= 0) return io::UniqueFd(fd);
  errno = problem;
  return fail(system_error(end, "making a socket"));
}

Result<io::UniqueFd, Error> open_bound(const End& end, int type, uint16_t port, UdpAddress& bound) {
  auto socket = open_socket(end, type);
  if (!socket) return socket;
  sockaddr_storage address{};
  socklen_t length = io::to_sockaddr({end.address, port, 0}, address);
  if (::bind(socket->get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    return fail(system_error(end, "binding a socket"));
  }
  length = sizeof address;
  if (::getsockname(socket->get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return fail(system_error(end, "asking for the port"));
  }
  bound = io::from_sockaddr(address);
  return socket;
}

}  // namespace vpn::traffic
