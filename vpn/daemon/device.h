// Device: one tunnel interface at work: the node, its TUN device, its sockets, and the paths of packets
// between them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/device_change.h"
#include "vpn/config/uapi.h"
#include "vpn/core/node.h"
#include "vpn/daemon/event_log.h"
#include "vpn/daemon/inbound.h"
#include "vpn/daemon/key_log.h"
#include "vpn/daemon/log.h"
#include "vpn/daemon/outbound.h"
#include "vpn/daemon/send_queue.h"
#include "vpn/daemon/udp_pair.h"
#include "vpn/io/event_loop.h"
#include "vpn/io/tun_device.h"

namespace vpn::daemon {

class Device {
 public:
  struct Options {
    std::string interface;
    uint16_t listen_port = 0;
    uint32_t fwmark = 0;
    bool tun_offload = true;
    bool udp_offload = true;
    std::optional<std::string> key_log;  // a file that gets the keys of every session
  };
  // Creates the interface and binds the port; whichever fails leaves nothing behind. What the arguments refer
  // to must outlive the device. `on_gone` is called once when the interface is removed under it.
  [[nodiscard]] static Result<std::unique_ptr<Device>, Error> create(const Options& options,
                                                                     io::EventLoop& loop,
                                                                     crypto::RandomSource& random, Log& log,
                                                                     std::function<void()> on_gone);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return tun_.name(); }
  [[nodiscard]] unsigned interface_index() const noexcept { return tun_.index(); }
  [[nodiscard]] uint16_t listen_port() const noexcept { return sockets_.port(); }
  [[nodiscard]] core::Node& node() noexcept { return node_; }

  // Applies the whole change, or nothing of it when the port cannot be bound or there would be too many
  // peers.
  [[nodiscard]] Result<bool, Error> apply(const config::DeviceChange& change);
  void set_peer_name(const PublicKey& peer, std::string name);
  void set_mtu(uint16_t mtu) noexcept { node_.set_mtu(mtu); }
  [[nodiscard]] config::DeviceReport report() const;

  // Called after each round of the event loop: sends what the node has to send, tells its events, sets the
  // timer.
  void finish_round();
  // A peer that went silent or could not be reached since the last call; each once.
  [[nodiscard]] std::vector<PublicKey> take_silent_peers() { return std::exchange(silent_peers_, {}); }
  // Whether a peer was heard from a new endpoint, or given one, since the last call.
  [[nodiscard]] bool take_endpoints_changed() noexcept { return std::exchange(endpoints_changed_, false); }

 private:
  struct PeerNotes {
    PublicKey key;
    std::string name;
    std::vector<config::EndpointVisit> visits;  // oldest first
    PeerTelling telling;
  };
  Device(io::TunDevice tun, UdpPair sockets, const Options& options, io::EventLoop& loop,
         crypto::RandomSource& random, Log& log, std::function<void()> on_gone);

  void watch_sockets();
  void unwatch_sockets() noexcept;
  void run_outbound();
  void run_inbound(io::UdpSocket& socket);
  void drain_transmits(Now now);
  void log_keys(Now now);
  void tell(const core::Event& event);
  void apply_peer(const config::PeerChange& change, Now now);
  [[nodiscard]] config::PeerReport report_peer(const core::PeerStatus& status) const;
  void note_visit(PeerNotes& notes, const UdpAddress& address);
  [[nodiscard]] std::string peer_label(const PeerNotes& notes) const;

  io::EventLoop& loop_;
  Log& log_;
  std::function<void()> on_gone_;
  uint32_t fwmark_;
  bool udp_offload_;
  io::TunDevice tun_;
  UdpPair sockets_;
  core::Node node_;
  crypto::AeadSet aeads_;
  std::optional<KeyLog> key_log_;
  SendQueue queue_;
  Outbound outbound_;
  Inbound inbound_;
  std::unordered_map<PeerId, PeerNotes> notes_;
  std::vector<PublicKey> silent_peers_;
  bool endpoints_changed_ = false;
  RefusalTelling refusals_;
};

}  // namespace vpn::daemon
