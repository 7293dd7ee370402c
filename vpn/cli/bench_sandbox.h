// Sandbox: a process that is alone in namespaces of its own, with two hosts joined by a veth pair. Whatever
// it makes or starts ends with it, and it ends with the process that started it, however that ends.
#pragma once

#include <array>
#include <functional>
#include <string>

#include "vpn/base/error.h"
#include "vpn/base/ip_address.h"
#include "vpn/base/result.h"
#include "vpn/io/unique_fd.h"

namespace vpn::cli {

// As the work inside sees it.
struct Sandbox {
  std::array<io::UniqueFd, 2> networks;  // of the two hosts
  static IpAddress link_address(size_t host) {
    return IpAddress::ipv4(192, 0, 2, static_cast<uint8_t>(host + 1));
  }

  // Calls `work` with the calling thread in a host's network.
  [[nodiscard]] Result<void, Error> in_host(size_t host,
                                            const std::function<Result<void, Error>()>& work) const;
  // Starts a program in a host; what it writes goes to `log`.
  [[nodiscard]] Result<pid_t, Error> start(size_t host, const std::vector<std::string>& argv,
                                           const std::string& log) const;
};

// What the work inside says, a line at a time.
using Say = std::function<void(const std::string& line)>;

// Runs `work` in a sandbox; `on_line` gets what it says. As root, or in a user namespace where the kernel
// allows that; the Error is that it could not be made, or what the work came to.
[[nodiscard]] Result<void, Error> run_in_sandbox(
    const std::function<Result<void, Error>(const Sandbox&, const Say&)>& work,
    const std::function<void(const std::string& line)>& on_line);

}  // namespace vpn::cli
