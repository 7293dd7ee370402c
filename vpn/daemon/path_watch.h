// PathWatch: finds out, for every peer with traffic, which packets get through to it (path_mtu.h), by ICMP
// echo through the tunnel itself.
//
// The questions are inner packets like any other, sealed and authenticated, so that every WireGuard peer
// takes them, and every one whose host answers to a ping helps. Asked is, of what the peer's AllowedIPs
// cover, in this order: an address by itself (/32, /128), the first address of the tunnel's own network, a
// name server of the configuration. A peer with none of these, or that does not answer, keeps the MTU of the
// route.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "vpn/base/ids.h"
#include "vpn/base/ip_address.h"
#include "vpn/base/time.h"
#include "vpn/config/config.h"
#include "vpn/config/uapi.h"
#include "vpn/daemon/log.h"
#include "vpn/daemon/path_mtu.h"
#include "vpn/host/echo_socket.h"
#include "vpn/io/event_loop.h"

namespace vpn::daemon {

// Whom to ask for each peer; peers with nobody to ask are left out.
[[nodiscard]] std::map<PublicKey, IpAddress> echo_targets(const config::Config& config);

class PathWatch {
 public:
  static constexpr size_t kMostPeers = 256;  // a gateway with more keeps the MTU of the routes

  // To be made before privileges are given away. Without ICMP sockets it does nothing. What the arguments
  // refer to must outlive it.
  PathWatch(io::EventLoop& loop, const std::string& interface, Log& log);
  ~PathWatch();
  PathWatch(const PathWatch&) = delete;
  PathWatch& operator=(const PathWatch&) = delete;

  // `ceiling`: the tunnel's MTU. Nothing is asked where the configuration has an MTU of its own, or no
  // routes.
  void configure(const config::Config& config, uint16_t ceiling);
  // The way to the peer is another now.
  void restart(const PublicKey& peer);

  // When handle_timeout() is due next; empty: there is nobody to ask.
  [[nodiscard]] std::optional<Instant> poll_timeout() const noexcept;
  // Asks where it is due. `report` tells which peers have had traffic.
  void handle_timeout(const config::DeviceReport& report, Instant now);

  // The peers to which less than the ceiling gets through.
  [[nodiscard]] std::map<PublicKey, uint16_t> narrow_paths() const;

 private:
  struct Watched {
    IpAddress target;
    PathMtu path;
    uint64_t bytes = 0;  // exchanged, when it was last looked
  };
  void hear(host::EchoSocket& socket);
  void ask(const IpAddress& target, const std::vector<uint16_t>& sizes);

  io::EventLoop& loop_;
  Log& log_;
  std::optional<host::EchoSocket> ipv4_, ipv6_;
  uint16_t ceiling_ = 0;
  std::map<PublicKey, Watched> watched_;
};

}  // namespace vpn::daemon
