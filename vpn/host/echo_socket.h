// EchoSocket: ICMP echo through one interface, to learn which sizes get through.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vpn/base/error.h"
#include "vpn/base/ip_address.h"
#include "vpn/base/result.h"
#include "vpn/io/unique_fd.h"

namespace vpn::host {

inline constexpr uint16_t kShortestEcho = 64;  // IP packet, bytes

class EchoSocket {
 public:
  // Needs CAP_NET_RAW, but only to be made.
  [[nodiscard]] static Result<EchoSocket, Error> open(IpFamily family, const std::string& interface);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  // Sends an IP packet of `bytes` (kShortestEcho … the interface's MTU) that must not be fragmented, whatever
  // is known of the path. What cannot be sent counts as lost.
  void send(const IpAddress& to, uint16_t bytes) noexcept;
  struct Answer {
    IpAddress from;
    uint16_t bytes = 0;  // of the IP packet, as it was asked with
  };
  // An answer to this socket's question; empty: none is there.
  [[nodiscard]] std::optional<Answer> receive() noexcept;

 private:
  EchoSocket(io::UniqueFd fd, IpFamily family) noexcept;

  io::UniqueFd fd_;
  IpFamily family_;
  uint16_t identifier_;
};

}  // namespace vpn::host
