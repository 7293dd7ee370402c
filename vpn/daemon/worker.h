// Worker: one core's share of a device: a queue of the TUN interface, a pair of sockets, and the way of
// packets between them, from end to end in one thread. Packets are never handed from one worker to another:
// the kernel gives a flow to one queue and a remote address to one socket, so each keeps its order.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/daemon/inbound.h"
#include "vpn/daemon/outbound.h"
#include "vpn/daemon/send_queue.h"
#include "vpn/daemon/shared_node.h"
#include "vpn/daemon/udp_pair.h"
#include "vpn/io/event_loop.h"
#include "vpn/io/tun_device.h"

namespace vpn::daemon {

class Worker {
 public:
  // What a worker tells of itself.
  struct Report {
    io::SendCounts sent;
    uint64_t receive_overflows = 0;
    uint64_t malformed = 0;  // packets that TUN gave and that could not be understood
    uint64_t refused = 0;    // packets that TUN did not take
    std::string tun_offload, udp_offload;
  };
  // The worker of the main loop's thread. `wake_main`, callable from any thread, has the main loop do a round
  // and with it finish what the node wants. What the arguments refer to must outlive the worker.
  Worker(SharedNode& node, io::TunDevice tun, UdpPair sockets, io::EventLoop& main_loop);
  // A worker with a loop of its own, for a thread of its own, which start() makes.
  Worker(SharedNode& node, io::TunDevice tun, UdpPair sockets, io::EventLoop own_loop,
         std::function<void()> wake_main);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Nothing for the main loop's.
  void start();
  // Ends the thread; packets are left where they are.
  void stop() noexcept;

  // From the main thread; each waits until the worker has done it.
  void replace_sockets(UdpPair sockets);
  [[nodiscard]] Result<bool, Error> set_fwmark(uint32_t fwmark);
  [[nodiscard]] Report report();

  // `hook` is called after each message of the node's was made, and before it is sent. Before start().
  void set_before_sending(std::function<void(SharedNode::Control&)> hook) {
    before_sending_ = std::move(hook);
  }
  // Sends what the node wants sent, now; of much of it a part, and has the loop do another round for more.
  // For the thread of the worker.
  void drain_transmits(SharedNode::Control& control);

  // True once TUN has said that its interface was removed. From any thread.
  [[nodiscard]] bool interface_is_gone() const noexcept {
    return interface_gone_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] const io::TunDevice& tun() const noexcept { return tun_; }

 private:
  Worker(SharedNode& node, io::TunDevice tun, UdpPair sockets, std::optional<io::EventLoop> own_loop,
         io::EventLoop* main_loop, std::function<void()> wake_main);
  void watch_sockets();
  void unwatch_sockets() noexcept;
  void run_outbound();
  void run_inbound(io::UdpSocket& socket);
  void hand_over_transmits();
  void finish_round();
  void in_thread(const std::function<void()>& task);

  std::optional<io::EventLoop> own_loop_;
  io::EventLoop& loop_;
  std::function<void()> wake_main_;  // empty: this is the main loop's
  std::function<void(SharedNode::Control&)> before_sending_;
  SharedNode& node_;
  io::TunDevice tun_;
  UdpPair sockets_;
  crypto::AeadSet aeads_;
  SendQueue queue_;
  Outbound outbound_;
  Inbound inbound_;
  std::atomic<bool> interface_gone_ = false;
  std::thread thread_;
};

}  // namespace vpn::daemon
