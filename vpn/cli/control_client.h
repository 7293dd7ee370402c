// The other end of the control socket: requests to a running daemon, ours or any other userspace WireGuard's.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/uapi.h"
#include "vpn/daemon/secret_text.h"

namespace vpn::cli {

class ControlClient {
 public:
  // /var/run/wireguard, where every WireGuard tool expects the sockets.
  [[nodiscard]] static std::string default_folder();
  explicit ControlClient(std::string folder = default_folder()) : folder_(std::move(folder)) {}

  // The interfaces with a daemon behind their socket, sorted. Sockets that a dead daemon left are passed
  // over.
  [[nodiscard]] std::vector<std::string> interfaces() const;
  // Whether a daemon is behind the interface's socket, or something that does not let us ask.
  [[nodiscard]] bool has_daemon(const std::string& interface) const;

  // Everything the daemon says about its interface. A daemon that is silent for `kPatience` is an error.
  [[nodiscard]] Result<config::DeviceReport, Error> get(const std::string& interface) const;
  // Applies the change, whole or not at all.
  [[nodiscard]] Result<void, Error> set(const std::string& interface,
                                        const config::DeviceChange& change) const;
  // Asks our daemon to read its file again; waits as long as that takes. Returns what it has to say of it;
  // mostly nothing.
  [[nodiscard]] Result<std::string, Error> reload(const std::string& interface) const;
  // Asks our daemon to end, and returns when everything it made is undone.
  [[nodiscard]] Result<void, Error> stop(const std::string& interface) const;

  static constexpr std::chrono::seconds kPatience{10};

 private:
  [[nodiscard]] std::string socket_path(const std::string& interface) const;

  enum class Until : uint8_t { kAnswered, kClosed };
  // Sends a whole request and returns the answer's lines, without the "errno=0" and the empty line that end
  // it. An answer with another errno is an error, in the words of the daemon's "error=" line where it sent
  // one. Zero patience: no limit.
  [[nodiscard]] Result<daemon::SecretText, Error> ask(const std::string& interface, std::string_view request,
                                                      std::chrono::seconds patience,
                                                      Until until = Until::kAnswered) const;

  std::string folder_;
};

}  // namespace vpn::cli
