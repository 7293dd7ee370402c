// PathWatch: finds out, by ICMP echo through the tunnel itself, which packets get through to every peer with
// traffic (path_mtu.h), and whether every peer with PersistentKeepalive is still there (liveness.h).
//
// The questions are inner packets like any other, sealed and authenticated, so that every WireGuard peer
// takes them, and every one whose host answers to a ping helps. Asked is, of what the peer's AllowedIPs
// cover, in this order: an address by itself (/32, /128), the first address of the tunnel's own network, a
// name server of the configuration. A peer with none of these, or that does not answer, keeps the MTU of the
// route. Whether a peer is there shows also where the host that is asked does not answer: the peer itself
// does, to any data. So the first address of any of its AllowedIPs serves for that, if there is no other.
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
#include "vpn/daemon/liveness.h"
#include "vpn/daemon/log.h"
#include "vpn/daemon/path_mtu.h"
#include "vpn/host/echo_socket.h"
#include "vpn/io/event_loop.h"

namespace vpn::daemon {

// Whom to ask for each peer; peers with nobody to ask are left out.
[[nodiscard]] std::map<PublicKey, IpAddress> echo_targets(const config::Config& config);
// The same for each peer with PersistentKeepalive, of which any answer will do.
[[nodiscard]] std::map<PublicKey, IpAddress> liveness_targets(const config::Config& config);

class PathWatch {
 public:
  static constexpr size_t kMostPeers = 256;  // a gateway with more keeps the MTU of the routes

  // Does nothing before open(). What the arguments refer to must outlive it.
  PathWatch(io::EventLoop& loop, Log& log) : loop_(loop), log_(log) {}
  ~PathWatch();
  PathWatch(const PathWatch&) = delete;
  PathWatch& operator=(const PathWatch&) = delete;

  // Opens ICMP sockets of the interface, for which it takes privileges. Without any it does nothing.
  void open(const std::string& interface);

  // `ceiling`: the tunnel's MTU. Sizes are not asked for where the configuration has an MTU of its own, or no
  // routes.
  void configure(const config::Config& config, uint16_t ceiling);
  // What the links to these peers take, where that is less than the ceiling: longer packets are not asked
  // for.
  void set_limits(std::map<PublicKey, uint16_t> limits);
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
    [[nodiscard]] Instant poll_timeout() const noexcept;

    std::optional<IpAddress> target;  // of the questions for sizes; empty: none are asked
    PathMtu path{0};
    uint64_t bytes = 0;                        // exchanged, when it was last looked
    std::optional<IpAddress> liveness_target;  // empty: the peer is not watched
    Liveness liveness;
  };
  [[nodiscard]] uint16_t ceiling_for(const PublicKey& peer) const;
  void look_for_sizes(Watched& one, const config::PeerReport& peer, Instant now);
  void hear(host::EchoSocket& socket);
  void ask(const IpAddress& target, const std::vector<uint16_t>& sizes);

  io::EventLoop& loop_;
  Log& log_;
  std::optional<host::EchoSocket> ipv4_, ipv6_;
  uint16_t ceiling_ = 0;
  std::map<PublicKey, uint16_t> limits_;
  std::map<PublicKey, Watched> watched_;
};

}  // namespace vpn::daemon
