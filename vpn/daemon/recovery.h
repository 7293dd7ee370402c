// Recovery: keeps peers within reach while the network around the host changes.
//
// - The way to a peer's endpoint changes (an address, a route, a link), or the host wakes from a suspend: the
//   peer hears from us at once, from the address that is now right, and the tunnel's MTU follows the routes.
// - Somebody removes an address, a route or a rule of the tunnel's: it is added again.
// - What gets through to a peer is less than that MTU: its routes are given what does (path_watch.h).
// - A peer goes silent: its other addresses are tried (failover.h), and its names are asked for again.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/config.h"
#include "vpn/config/device_change.h"
#include "vpn/daemon/device.h"
#include "vpn/daemon/failover.h"
#include "vpn/daemon/host_side.h"
#include "vpn/daemon/log.h"
#include "vpn/daemon/pace.h"
#include "vpn/daemon/path_watch.h"
#include "vpn/daemon/peer_round.h"
#include "vpn/host/netlink.h"
#include "vpn/io/event_loop.h"
#include "vpn/io/unique_fd.h"

namespace vpn::daemon {

class Recovery {
 public:
  struct Actions {
    // Resolves in the background; what comes of it is told by configure().
    std::function<void(std::vector<config::EndpointName>)> ask_names;
    // The kill switch is to let out to where the peers are now.
    std::function<void()> follow_endpoints;
    // The routes of these peers are to have this MTU, those of all others the tunnel's.
    std::function<void(std::map<PublicKey, uint16_t>)> set_path_mtus;
  };
  // To be made before privileges are given away. What the arguments refer to must outlive it. Without a
  // `host`, whose addresses and routes others see to, configure() is not called, and only the ways to the
  // peers are followed.
  [[nodiscard]] static Result<std::unique_ptr<Recovery>, Error> create(io::EventLoop& loop, Device& device,
                                                                       HostSide* host, host::Netlink& netlink,
                                                                       Log& log, Actions actions);
  ~Recovery();
  Recovery(const Recovery&) = delete;
  Recovery& operator=(const Recovery&) = delete;

  // At the start, and whenever the configuration or an address in `resolved` has changed.
  void configure(const config::Config& config, const config::ResolvedEndpoints& resolved);
  // Something of the host's network has changed: looked at a moment later, with all that comes meanwhile.
  void on_network_changed();
  // Something of the tunnel's own may have been removed: looked at a moment later as well.
  void on_loss();
  // A peer is somewhere else: followed at once, but once a second at most, as whoever has a peer's key may
  // call from another port with each packet.
  void on_endpoints_changed();
  // The same, for the ways that are followed.
  void note_moves(const std::vector<Device::PeerEndpoint>& moves);
  // After each round of the event loop.
  void after_round();

 private:
  Recovery(io::EventLoop& loop, Device& device, HostSide* host, host::Netlink& netlink, Log& log,
           Actions actions);

  void on_timer();
  void on_clock_set();
  // Looks at the way to every peer, so many at a time; those whose way is another now, or all with
  // `even_if_same`, are spoken to.
  void follow_routes(bool even_if_same);
  void follow_some_routes(Instant now);
  void note_routes();
  void follow_mtu();
  void watch_paths(Instant now);
  // The peers whose link takes less than the tunnel's MTU.
  [[nodiscard]] std::map<PublicKey, uint16_t> narrow_links() const;
  void tell_of_large_mtu();
  void try_silent_peers(Instant now);
  void ask_names_of(const PublicKey& peer);
  void follow_endpoints();
  void set_timer();
  void watch_clock() noexcept;

  struct Way {
    UdpAddress endpoint;
    std::optional<host::Route> route;
  };

  io::EventLoop& loop_;
  Device& device_;
  HostSide* host_;  // null: the daemon was started bare
  host::Netlink& netlink_;
  Log& log_;
  Actions actions_;
  io::UniqueFd timer_;        // CLOCK_BOOTTIME
  io::UniqueFd clock_watch_;  // readable when the wall clock is set, which waking up does
  Duration slept_{};          // since the host was started
  config::Config config_;
  config::ResolvedEndpoints resolved_;
  std::map<PublicKey, Way> ways_;
  std::optional<uint16_t> mtu_;  // by the routes
  std::optional<Instant> look_at_network_, look_at_paths_;
  std::optional<Instant> timer_due_;
  Pace restoring_, following_;
  PeerRound round_;  // of following the routes
  bool round_even_if_same_ = false;
  size_t round_told_ = 0;  // peers so far
  Failover failover_;
  PathWatch paths_;
  std::map<PublicKey, uint16_t> narrow_paths_;  // as the routes have them
  uint16_t told_fits_ = 0;                      // last said of a configured MTU; 0: it is fine
};

}  // namespace vpn::daemon
