// Device: one tunnel interface at work: the node, and the workers that carry its packets. One worker runs on
// the main loop, beside everything that is no packet; each further one on a thread of its own.
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
#include "vpn/daemon/key_log.h"
#include "vpn/daemon/log.h"
#include "vpn/daemon/shared_node.h"
#include "vpn/daemon/worker.h"
#include "vpn/io/event_loop.h"

namespace vpn::daemon {

class Device {
 public:
  struct Options {
    std::string interface;
    uint16_t listen_port = 0;
    uint32_t fwmark = 0;
    bool tun_offload = true;
    bool udp_offload = true;
    bool udp_splits = true;              // see UdpPair::Options
    std::optional<std::string> key_log;  // a file that gets the keys of every session
    size_t workers = 1;
  };
  // Creates the interface and binds the port; whichever fails leaves nothing behind. What the arguments refer
  // to must outlive the device. `on_gone` is called once when the interface is removed under it.
  [[nodiscard]] static Result<std::unique_ptr<Device>, Error> create(const Options& options,
                                                                     io::EventLoop& loop,
                                                                     crypto::RandomSource& random, Log& log,
                                                                     std::function<void()> on_gone);
  // The same of queues and sockets that are open, one of each for a worker.
  [[nodiscard]] static Result<std::unique_ptr<Device>, Error> assemble(
      const Options& options, std::vector<io::TunDevice> queues, std::vector<UdpPair> sockets,
      io::EventLoop& loop, crypto::RandomSource& random, Log& log, std::function<void()> on_gone);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Starts the threads of the further workers. They have the privileges that the caller has now.
  void start_workers();

  [[nodiscard]] const std::string& name() const noexcept { return main_worker().tun().name(); }
  [[nodiscard]] unsigned interface_index() const noexcept { return main_worker().tun().index(); }
  [[nodiscard]] bool interface_is_there() const noexcept { return main_worker().tun().is_there(); }
  // 0 before the interface is up for the first time since any port was asked for.
  [[nodiscard]] uint16_t listen_port() const noexcept { return listen_port_; }
  [[nodiscard]] uint32_t fwmark() const noexcept { return fwmark_; }
  [[nodiscard]] size_t worker_count() const noexcept { return workers_.size(); }
  // As Node's.
  [[nodiscard]] std::array<uint8_t, 12> greatest_timestamp_sent() const noexcept { return timestamp_sent_; }
  void restore_timestamp(const std::array<uint8_t, 12>& timestamp) noexcept;

  // The interface was taken down: the sockets close, what goes on with peers ends, and nothing is sent.
  void go_down();
  // It is up again: the sockets open, on the port that is configured by now. After an error it stays down; to
  // give it another port tries again.
  [[nodiscard]] Result<bool, Error> come_up();

  // Applies the whole change, or nothing of it when the port cannot be bound or there would be too many
  // peers.
  [[nodiscard]] Result<bool, Error> apply(const config::DeviceChange& change);
  void set_peer_name(const PublicKey& peer, std::string name);
  void set_mtu(uint16_t mtu) noexcept { node_.control()->set_mtu(mtu); }
  [[nodiscard]] config::DeviceReport report() const;
  struct PeerEndpoint {
    PublicKey peer;
    UdpAddress endpoint;
  };
  // Of the peers that have one: where the next message to each goes.
  [[nodiscard]] std::vector<PeerEndpoint> endpoints() const;

  // Called after each round of the main loop: sends what the node has to send, tells its events, sets the
  // timer.
  void finish_round();
  // What was noticed of peers since the last call, in order: one went silent, or is heard again.
  struct PeerNews {
    PublicKey peer;
    bool silent = false;
  };
  [[nodiscard]] std::vector<PeerNews> take_peer_news() { return std::exchange(peer_news_, {}); }
  // The peers that were heard from a new endpoint, or given one, since the last call, in order.
  [[nodiscard]] std::vector<PeerEndpoint> take_peer_moves() { return std::exchange(peer_moves_, {}); }

 private:
  struct PeerNotes {
    PublicKey key;
    std::string name;
    bool silent = false;                        // that is known, and it was not heard since
    std::vector<config::EndpointVisit> visits;  // oldest first
    PeerTelling telling;
  };
  Device(const Options& options, uint16_t listen_port, io::EventLoop& loop, crypto::RandomSource& random,
         Log& log, std::function<void()> on_gone);

  [[nodiscard]] Result<bool, Error> add_worker(io::TunDevice tun, UdpPair sockets);
  [[nodiscard]] Worker& main_worker() const noexcept { return *workers_.front(); }
  // An error naming "peers" where there would be more than a node takes.
  [[nodiscard]] Result<bool, Error> check_peer_count(const config::DeviceChange& change);
  [[nodiscard]] Result<bool, Error> apply_sockets(const config::DeviceChange& change);
  [[nodiscard]] Result<bool, Error> open_sockets(uint16_t port, uint32_t fwmark);
  void log_keys(SharedNode::Control& node);
  void tell(const core::Event& event);
  void note_silence(PeerNotes& notes, bool silent);
  void apply_peer(const config::PeerChange& change);
  void change_peer(core::Node& node, PeerId peer, const config::PeerChange& change, Now now);
  [[nodiscard]] config::PeerReport report_peer(const core::PeerStatus& status) const;
  void note_visit(PeerNotes& notes, const UdpAddress& address);
  [[nodiscard]] std::string peer_label(const PeerNotes& notes) const;

  io::EventLoop& loop_;
  Log& log_;
  std::function<void()> on_gone_;
  uint32_t fwmark_;
  bool udp_offload_;
  const bool udp_splits_;
  uint16_t listen_port_;
  bool is_link_up_ = true;  // as the kernel was last heard to say
  bool has_sockets_ = true;
  mutable SharedNode node_;
  std::optional<KeyLog> key_log_;                 // used by whoever has the node's control
  std::vector<std::unique_ptr<Worker>> workers_;  // the first is the main loop's
  bool timer_fired_ = true;                       // so that the first round sets it
  std::array<uint8_t, 12> timestamp_sent_{};
  std::unordered_map<PeerId, PeerNotes> notes_;
  std::vector<PeerNews> peer_news_;
  std::vector<PeerEndpoint> peer_moves_;
  RefusalTelling refusals_;
};

}  // namespace vpn::daemon
