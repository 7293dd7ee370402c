#include "vpn/daemon/worker.h"

#include <future>
#include <utility>

#include "vpn/base/endian.h"
#include "vpn/core/constants.h"
#include "vpn/wire/messages.h"

namespace vpn::daemon {
namespace {

// Then other handshakes, timers and the configuration get their turn: an initiation takes some 0.15 ms to
// make. A packet that was staged takes a microsecond, and those of a peer go in one turn, for what comes from
// TUN meanwhile would push them out of their place.
constexpr size_t kHandshakesAtOnce = 32;
constexpr size_t kPacketsAtOnce = 8 * core::kMaxStagedPackets;

bool is_data(BytesView datagram) noexcept {
  return datagram.size() >= wire::kDataHeaderBytes &&
         load_le<uint32_t>(datagram.data()) == static_cast<uint32_t>(wire::MessageType::kData);
}

}  // namespace

Worker::Worker(SharedNode& node, io::TunDevice tun, UdpPair sockets, io::EventLoop& main_loop)
    : Worker(node, std::move(tun), std::move(sockets), std::nullopt, &main_loop, {}) {}

Worker::Worker(SharedNode& node, io::TunDevice tun, UdpPair sockets, io::EventLoop own_loop,
               std::function<void()> wake_main)
    : Worker(node, std::move(tun), std::move(sockets), std::optional(std::move(own_loop)), nullptr,
             std::move(wake_main)) {}

Worker::Worker(SharedNode& node, io::TunDevice tun, UdpPair sockets, std::optional<io::EventLoop> own_loop,
               io::EventLoop* main_loop, std::function<void()> wake_main)
    : own_loop_(std::move(own_loop)),
      loop_(main_loop != nullptr ? *main_loop : *own_loop_),
      wake_main_(std::move(wake_main)),
      node_(node),
      tun_(std::move(tun)),
      sockets_(std::move(sockets)),
      aeads_(crypto::select_aeads()),
      queue_(sockets_),
      outbound_(node_, aeads_, tun_, queue_),
      inbound_(node_, aeads_, tun_) {
  loop_.watch(tun_.fd(), [this] { run_outbound(); });
  watch_sockets();
}

Worker::~Worker() {
  stop();
  if (!interface_is_gone()) loop_.unwatch(tun_.fd());
  unwatch_sockets();
}

void Worker::start() {
  if (!own_loop_ || thread_.joinable()) return;
  thread_ = std::thread([this] { loop_.run([this] { finish_round(); }); });
}

void Worker::stop() noexcept {
  if (!thread_.joinable()) return;
  loop_.post([this] { loop_.stop(); });
  thread_.join();
}

// Runs the task on the thread that owns what it touches.
void Worker::in_thread(const std::function<void()>& task) {
  if (!thread_.joinable()) return task();
  std::promise<void> done;
  loop_.post([&] {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

void Worker::watch_sockets() {
  sockets_.for_each([this](io::UdpSocket& socket) {
    const IpFamily family = sockets_.of(IpFamily::kIpv4) == &socket ? IpFamily::kIpv4 : IpFamily::kIpv6;
    loop_.watch(socket.fd(), [this, family] { run_inbound(*sockets_.of(family)); });
  });
}

void Worker::unwatch_sockets() noexcept {
  sockets_.for_each([this](io::UdpSocket& socket) { loop_.unwatch(socket.fd()); });
}

void Worker::replace_sockets(UdpPair sockets) {
  in_thread([&] {
    unwatch_sockets();
    sockets.continue_counts(sockets_);
    sockets_ = std::move(sockets);
    watch_sockets();
  });
}

Result<bool, Error> Worker::set_fwmark(uint32_t fwmark) {
  Result<bool, Error> result = true;
  in_thread([&] { result = sockets_.set_fwmark(fwmark); });
  return result;
}

Worker::Report Worker::report() {
  Report report;
  in_thread([&] {
    auto tun_features = tun_.features();
    tun_features.tso = tun_features.tso && inbound_.joins().tcp;
    tun_features.uso = tun_features.uso && inbound_.joins().udp;
    report = {sockets_.counts(),        sockets_.receive_overflows(), outbound_.malformed_count(),
              inbound_.refused_count(), tun_features.to_string(),     sockets_.offload_text()};
  });
  return report;
}

void Worker::run_outbound() {
  hand_over_transmits();  // what is staged goes before what comes now
  if (outbound_.run() != Outbound::Outcome::kInterfaceGone) return;
  loop_.unwatch(tun_.fd());
  interface_gone_.store(true, std::memory_order_relaxed);
  if (wake_main_) wake_main_();
}

void Worker::run_inbound(io::UdpSocket& socket) {
  inbound_.run(socket);
  hand_over_transmits();
}

// Sends what the node wants sent, unless another thread is at it: that, or else the main loop, does it then.
// Never waits: a change of the configuration may hold the control plane for long.
void Worker::hand_over_transmits() {
  if (!node_.has_transmits()) return;
  if (auto control = node_.try_control()) {
    drain_transmits(*control);
  } else if (wake_main_) {
    wake_main_();
  }
}

void Worker::drain_transmits(SharedNode::Control& control) {
  size_t handshakes = 0;
  size_t packets = 0;
  while (handshakes < kHandshakesAtOnce && packets < kPacketsAtOnce) {
    const auto transmit = control->poll_transmit(control.now());
    if (!transmit) break;
    const BytesView datagram = transmit->datagram;
    ++(is_data(datagram) ? packets : handshakes);
    if (before_sending_) before_sending_(control);
    if (!queue_.has_room(1, datagram.size())) queue_.flush();
    copy_bytes(datagram, queue_.reserve(datagram.size()));
    queue_.append(transmit->to, transmit->tos, datagram.size());
  }
  if (control->has_transmits()) loop_.wake();
  // What was staged must be out before another worker may send what came later.
  if (packets == 0) control.release_data();
  queue_.flush();
}

void Worker::finish_round() {
  hand_over_transmits();
  if (node_.claim_main_loop()) wake_main_();
}

}  // namespace vpn::daemon
