// Devices with several workers each, on loopback sockets, their TUN queues held by the test. Needs no right,
// and runs under ThreadSanitizer.
#include "vpn/daemon/device.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "vpn/base/endian.h"
#include "vpn/crypto/initialize.h"
#include "vpn/crypto/x25519.h"
#include "vpn/io/system.h"
#include "vpn/offload/test_packets.h"

namespace vpn::daemon {
namespace {

using offload::testing::make_packet;
using offload::testing::Packet;

constexpr std::chrono::seconds kDeadline{60};

Secret<32> private_key(uint8_t number) {
  Secret<32> key;
  std::ranges::fill(key.mutable_view(), number);
  crypto::clamp(key.mutable_view());
  return key;
}

PublicKey public_key(uint8_t number) {
  return crypto::derive_public_key(private_key(number).view());
}

uint64_t counter_in(const Device& device, std::string_view name) {
  for (const auto& [one, count] : device.report().counters) {
    if (one == name) return count;
  }
  ADD_FAILURE() << "no counter " << name;
  return 0;
}

// One device, its main loop on a thread, and the outer ends of its queues.
class Host {
 public:
  // Tunnel address 10.0.0.`number`.
  Host(uint8_t number, size_t workers, io::SystemCalls& calls = io::system_calls(),
       bool super_packets = false) {
    std::vector<io::TunDevice> queues;
    for (size_t index = 0; index < workers; ++index) {
      int ends[2];
      EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
      io::TunOptions options;
      options.name = "test";
      options.calls = &calls;
      queues.push_back(io::TunDevice::adopt(io::UniqueFd(ends[0]), options,
                                            {super_packets, super_packets, super_packets}));
      outer_.emplace_back(ends[1]);
    }
    UdpPair::Options sockets;
    sockets.calls = &calls;
    Device::Options options;
    options.interface = "test";
    options.workers = workers;
    auto device = Device::assemble(options, std::move(queues), *UdpPair::open_group(sockets, workers), loop_,
                                   random_, log_, {});
    device_ = std::move(*device);
    config::DeviceChange change;
    change.private_key = private_key(number);
    EXPECT_TRUE(device_->apply(change).has_value());
    device_->start_workers();
    thread_ = std::thread([this] { loop_.run([this] { device_->finish_round(); }); });
  }
  ~Host() {
    loop_.post([this] { loop_.stop(); });
    thread_.join();
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // Runs `task(Device&)` on the main loop, as the control socket does, and waits for it.
  template <typename Task>
  auto control(Task task) {
    std::packaged_task<decltype(task(*device_))()> packaged([&] { return task(*device_); });
    auto result = packaged.get_future();
    loop_.post([&] { packaged(); });
    return result.get();
  }

  // Runs `task(Device&)` on the main loop, in its next round; for a task that runs there.
  template <typename Task>
  void post(Task task) {
    loop_.post([this, task] { task(*device_); });
  }

  void add_peer(uint8_t other, std::optional<uint16_t> port) {
    config::DeviceChange change;
    config::PeerChange& peer = change.peers.emplace_back(public_key(other));
    peer.allowed_ips.push_back({IpPrefix{IpAddress::ipv4(10, 0, 0, other), 32}});
    peer.rekey_after_time = std::chrono::seconds(1);  // handshakes beside the data
    if (port) peer.endpoint = UdpAddress{IpAddress::ipv4(127, 0, 0, 1), *port, 0};
    EXPECT_TRUE(control([&](Device& device) { return device.apply(change); }).has_value());
  }
  uint16_t port() {
    return control([](Device& device) { return device.listen_port(); });
  }
  uint64_t counter(std::string_view name) {
    return control([name](Device& device) { return counter_in(device, name); });
  }

  [[nodiscard]] size_t queue_count() const { return outer_.size(); }
  // What the kernel would do with a packet of this flow, which is not open to joining.
  void put(size_t queue, BytesView packet) {
    pollfd waiting{outer_[queue].get(), POLLOUT, 0};
    ASSERT_EQ(poll(&waiting, 1, 10'000), 1);
    ASSERT_EQ(write(outer_[queue].get(), packet.data(), packet.size()), static_cast<ssize_t>(packet.size()));
  }
  // The next packet that came out of this queue; empty when none came for a tenth of a second.
  std::optional<Packet> take(size_t queue) {
    pollfd waiting{outer_[queue].get(), POLLIN, 0};
    if (poll(&waiting, 1, 100) != 1) return std::nullopt;
    Packet packet(io::TunDevice::kLongestPacket + 10);
    const ssize_t got = read(outer_[queue].get(), packet.data(), packet.size());
    if (got <= 0) return std::nullopt;
    packet.resize(static_cast<size_t>(got));
    return packet;
  }

 private:
  static LogOptions quiet() {
    LogOptions options;
    options.level = LogLevel::kOff;
    return options;
  }

  io::SystemRandom random_;
  Log log_{quiet(), "test"};
  io::EventLoop loop_ = *io::EventLoop::create();
  std::vector<io::UniqueFd> outer_;
  std::unique_ptr<Device> device_;
  std::thread thread_;
};

// An IPv4 UDP packet that says which flow it belongs to (its source port) and its place in it.
Packet numbered(uint8_t from, uint8_t to, uint16_t flow, uint32_t place) {
  Packet packet = make_packet({.tcp = false, .source_port = flow, .payload_bytes = 64});
  const auto set_address = [&](size_t at, uint8_t host) {
    const auto bytes = IpAddress::ipv4(10, 0, 0, host);
    copy_bytes(bytes.bytes(), MutableBytes(packet).subspan(at));
  };
  set_address(12, from);
  set_address(16, to);
  store_be<uint32_t>(&packet[28], place);
  store_be<uint16_t>(&packet[26], 0);  // no checksum, which UDP over IPv4 may do
  return packet;
}

// What arrives at a host, by flow, and that each flow's packets come in order and once.
class Arrivals {
 public:
  void add(BytesView packet) {
    const uint16_t flow = load_be<uint16_t>(&packet[20]);
    const uint32_t place = load_be<uint32_t>(&packet[28]);
    const std::lock_guard lock(mutex_);
    auto& next = next_[flow];
    if (place < next) ++out_of_order_;
    next = place + 1;
    ++count_;
    more_.notify_all();
  }
  // False when it does not come to that before the deadline.
  bool wait_for(uint64_t count) {
    std::unique_lock lock(mutex_);
    return more_.wait_for(lock, kDeadline, [&] { return count_ >= count; });
  }
  // The same of this packet of a flow.
  bool wait_for(uint16_t flow, uint32_t place) {
    std::unique_lock lock(mutex_);
    return more_.wait_for(lock, kDeadline, [&] { return next_[flow] > place; });
  }
  uint64_t out_of_order() {
    const std::lock_guard lock(mutex_);
    return out_of_order_;
  }
  size_t flows() {
    const std::lock_guard lock(mutex_);
    return next_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable more_;
  std::map<uint16_t, uint32_t> next_;
  uint64_t count_ = 0;
  uint64_t out_of_order_ = 0;
};

class Devices : public testing::TestWithParam<size_t> {
 protected:
  static constexpr uint8_t kHub = 1;
  static constexpr uint32_t kPackets = 1500;  // of each flow; one flow a queue
  // Packets of a flow on their way at most, so that no buffer overflows.
  static constexpr uint32_t kWindow = 16;

  void SetUp() override { crypto::initialize(); }

  static void send_flows(Host& host, uint8_t spoke, Arrivals& at_hub) {
    for (uint32_t place = 0; place < kPackets; ++place) {
      for (size_t queue = 0; queue < host.queue_count(); ++queue) {
        const auto flow = static_cast<uint16_t>(1000 + 100 * spoke + queue);
        if (place >= kWindow && !at_hub.wait_for(flow, place - kWindow)) return;
        host.put(queue, numbered(static_cast<uint8_t>(10 + spoke), kHub, flow, place));
      }
      if (place % 100 == 0) {
        EXPECT_EQ(host.counter("send_refused"), 0u);
      }
    }
  }
};

// A round of the loop, in which others get their turn, comes between parts of them. [issue 9, deliver 3]
TEST(Device, MakesManyHandshakesAFewAtATime) {
  constexpr size_t kPeers = 300;
  crypto::initialize();
  const auto nobody = UdpPair::open_group({}, 1);  // whom they are sent to
  ASSERT_TRUE(nobody.has_value());
  config::DeviceChange change;
  for (size_t number = 0; number < kPeers; ++number) {
    PublicKey key = public_key(9);
    key.bytes[0] = static_cast<uint8_t>(number);
    key.bytes[1] = static_cast<uint8_t>(number >> 8);
    config::PeerChange& peer = change.peers.emplace_back(key);
    peer.endpoint = UdpAddress{IpAddress::ipv4(127, 0, 0, 1), nobody->front().port(), 0};
    peer.persistent_keepalive = 25;
  }
  Host host(1, 1);
  std::promise<uint64_t> sent_in_a_round;
  const auto applied = host.control([&](Device& device) {
    host.post([&](Device& later) { sent_in_a_round.set_value(counter_in(later, "sent_datagrams")); });
    return device.apply(change);
  });
  ASSERT_TRUE(applied.has_value());
  const uint64_t sent = sent_in_a_round.get_future().get();
  EXPECT_GT(sent, 0u);
  EXPECT_LE(sent, kPeers / 4);
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (host.counter("sent_datagrams") < kPeers && std::chrono::steady_clock::now() < deadline) {
  }
  EXPECT_EQ(host.counter("sent_datagrams"), kPeers);
}

// All of it or nothing: those that fit are not added either.
TEST(Device, RefusesMorePeersThanANodeTakes) {
  Host host(1, 1);
  host.add_peer(2, std::nullopt);
  config::DeviceChange change;
  for (uint32_t number = 0; number < 65536; ++number) {
    PublicKey key{};
    store_le(key.bytes.data(), number + 1);
    change.peers.emplace_back(key);
  }
  const auto applied = host.control([&](Device& device) { return device.apply(change); });
  ASSERT_FALSE(applied.has_value());
  EXPECT_EQ(applied.error().where, "peers");
  EXPECT_EQ(host.control([](Device& device) { return device.report(); }).peers.size(), 1u);
}

// What Linux's WireGuard does with its interface, whatever is configured meanwhile.
TEST(Device, HasNoSocketsWhileItsInterfaceIsDown) {
  crypto::initialize();
  for (const size_t workers : {size_t{1}, size_t{2}}) {
    Host host(1, workers), other(2, workers);
    host.add_peer(2, other.port());
    other.add_peer(1, std::nullopt);
    // Every packet needs a handshake, and of a peer's initiations within a fiftieth of a second only the
    // first is answered; the next would come after REKEY_TIMEOUT.
    auto next_handshake = std::chrono::steady_clock::now();
    const auto passes = [&](uint32_t place) {
      std::this_thread::sleep_until(next_handshake);
      host.put(0, numbered(1, 2, 1000, place));
      const auto end = std::chrono::steady_clock::now() + kDeadline;
      for (size_t queue = 0; std::chrono::steady_clock::now() < end;
           queue = (queue + 1) % other.queue_count()) {
        if (const auto packet = other.take(queue)) {
          next_handshake = std::chrono::steady_clock::now() + std::chrono::milliseconds(21);
          return load_be<uint32_t>(&(*packet)[28]) == place;
        }
      }
      return false;
    };
    EXPECT_TRUE(passes(1));
    const uint16_t before = host.port();
    host.control([](Device& device) { return device.go_down(), true; });
    auto in_its_place = io::UdpSocket::open({.port = before});
    ASSERT_TRUE(in_its_place.has_value()) << in_its_place.error().to_string();

    const auto set_port = [&](uint16_t port) {
      config::DeviceChange change;
      change.listen_port = port;
      return host.control([&](Device& device) { return device.apply(change); });
    };
    const auto come_up = [&] { return host.control([](Device& device) { return device.come_up(); }); };
    EXPECT_TRUE(set_port(before).has_value()) << "nobody looks whether it is free";
    EXPECT_EQ(come_up().error().problem, "taken by another program");
    EXPECT_FALSE(set_port(before).has_value()) << "its link is up, so that it is tried again";
    EXPECT_TRUE(set_port(0).has_value());
    EXPECT_NE(host.port(), 0);
    EXPECT_TRUE(passes(2));

    host.control([](Device& device) { return device.go_down(), true; });
    in_its_place = fail(Error{});  // closes it
    EXPECT_TRUE(set_port(before).has_value());
    EXPECT_TRUE(come_up().has_value());
    EXPECT_EQ(host.port(), before);
    EXPECT_TRUE(passes(3));
  }
}

// Three spokes send to a hub at once, each through all of its queues, the hub answers, and meanwhile reports
// are asked for and a spoke changes its port. Nothing is lost but what was on its way then, and nothing comes
// twice or out of order.
TEST_P(Devices, CarryManyFlowsInOrderWhileTheyAreReportedOnAndRoam) {
  constexpr uint8_t kSpokes = 3;
  const size_t workers = GetParam();
  Host hub(kHub, workers);
  std::vector<std::unique_ptr<Host>> spokes;
  for (uint8_t spoke = 0; spoke < kSpokes; ++spoke) {
    const auto number = static_cast<uint8_t>(10 + spoke);
    spokes.push_back(std::make_unique<Host>(number, workers));
    spokes.back()->add_peer(kHub, hub.port());
    hub.add_peer(number, std::nullopt);
  }

  std::atomic<bool> ending = false;
  Arrivals at_hub;
  std::vector<std::thread> readers;
  for (size_t queue = 0; queue < workers; ++queue) {
    readers.emplace_back([&, queue] {
      while (!ending) {
        if (const auto packet = hub.take(queue)) at_hub.add(*packet);
      }
    });
  }
  std::vector<std::thread> writers;
  for (uint8_t spoke = 0; spoke < kSpokes; ++spoke) {
    writers.emplace_back([&, spoke] { send_flows(*spokes[spoke], spoke, at_hub); });
  }
  for (int round = 0; round < 20; ++round) static_cast<void>(hub.counter("sent_datagrams"));
  for (std::thread& writer : writers) writer.join();
  const uint64_t all = uint64_t{kSpokes} * workers * kPackets;
  EXPECT_TRUE(at_hub.wait_for(all));
  EXPECT_EQ(at_hub.out_of_order(), 0u);
  EXPECT_EQ(at_hub.flows(), kSpokes * workers);

  // A spoke moves to another port: the hub answers there.
  config::DeviceChange move;
  move.listen_port = 0;
  EXPECT_TRUE(spokes[0]->control([&](Device& device) { return device.apply(move); }).has_value());
  const uint16_t port = spokes[0]->port();
  spokes[0]->put(0, numbered(10, kHub, 999, 0));
  EXPECT_TRUE(at_hub.wait_for(all + 1));
  const auto report = hub.control([](Device& device) { return device.report(); });
  EXPECT_EQ(report.peers[0].endpoint->port, port);
  EXPECT_EQ(report.peers[0].roamed_count, 1u);
  // Back to it from the hub, by whichever worker.
  for (size_t queue = 0; queue < workers; ++queue) {
    hub.put(queue, numbered(kHub, 10, static_cast<uint16_t>(2000 + queue), 0));
  }
  size_t back = 0;
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (back < workers && std::chrono::steady_clock::now() < deadline) {
    for (size_t queue = 0; queue < workers; ++queue) back += spokes[0]->take(queue).has_value() ? 1 : 0;
  }
  EXPECT_EQ(back, workers);
  ending = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(hub.counter("drop_replayed"), 0u);
}

// A kernel that says at set-up that it takes super-packets, and refuses them.
class RefusesSuperPackets final : public io::SystemCalls {
 public:
  explicit RefusesSuperPackets(int error_number) : error_number_(error_number) {}
  ssize_t writev(int fd, const iovec* parts, int count) noexcept override {
    const auto* const header = static_cast<const uint8_t*>(parts[0].iov_base);
    const bool is_super =
        offload::VnetHeader::decode(std::span<const uint8_t, 10>(header, 10))->gso != offload::GsoKind::kNone;
    if (!is_super && !interface_is_down) return SystemCalls::writev(fd, parts, count);
    ++refusals;
    errno = error_number_;
    return -1;
  }
  std::atomic<int> refusals = 0;
  std::atomic<bool> interface_is_down = false;

 private:
  int error_number_;
};

class RefusedSuperPackets : public testing::TestWithParam<int> {
 protected:
  // Sends a run of datagrams of one flow, which the receiver would join.
  void send_run(Host& host, uint16_t flow) {
    Packet packet = make_packet({.tcp = false, .source_port = flow, .payload_bytes = 5000});
    for (const auto& [at, number] : {std::pair<size_t, uint8_t>{12, uint8_t{2}}, {16, uint8_t{1}}}) {
      const auto address = IpAddress::ipv4(10, 0, 0, number);
      copy_bytes(address.bytes(), MutableBytes(packet).subspan(at));
    }
    Packet with_header(10);
    offload::VnetHeader header;
    header.needs_checksum = true;
    header.gso = offload::GsoKind::kUdp;
    header.segment_bytes = 500;
    header.checksum_start = 20;
    header.checksum_offset = 6;
    header.encode(std::span<uint8_t, 10>(with_header));
    with_header.insert(with_header.end(), packet.begin(), packet.end());
    host.put(0, with_header);
  }
  // How many packets of 500 bytes of payload arrive until there are `count`, all sound.
  size_t arrived(Host& host, size_t count) {
    size_t packets = 0;
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    while (packets < count && std::chrono::steady_clock::now() < deadline) {
      auto packet = host.take(0);
      if (!packet) continue;
      packet->erase(packet->begin(), packet->begin() + 10);
      EXPECT_EQ(packet->size(), 528u);
      EXPECT_TRUE(offload::testing::checksums_are_right(*packet));
      ++packets;
    }
    return packets;
  }
  std::string tun_offload(Host& host) {
    return host.control([](Device& device) { return device.report(); }).tun_offload;
  }
};

TEST_P(RefusedSuperPackets, GoAsSegmentsAndAreNotTriedAgain) {
  RefusesSuperPackets calls(GetParam());
  Host receiver(1, 1, calls, true);
  Host sender(2, 1, io::system_calls(), true);
  receiver.add_peer(2, std::nullopt);
  sender.add_peer(1, receiver.port());
  EXPECT_EQ(tun_offload(receiver), "tso uso");
  send_run(sender, 1000);  // waits for the handshake, and may come one by one
  EXPECT_EQ(arrived(receiver, 10), 10u);
  send_run(sender, 1000);
  EXPECT_EQ(arrived(receiver, 10), 10u);
  EXPECT_EQ(tun_offload(receiver), "tso") << "TCP was not refused";
  const int refusals = calls.refusals;
  EXPECT_GE(refusals, 1);
  send_run(sender, 1000);
  EXPECT_EQ(arrived(receiver, 10), 10u);
  EXPECT_EQ(calls.refusals, refusals);
  EXPECT_EQ(receiver.counter("tun_refused"), 0u);
}

TEST_P(RefusedSuperPackets, AreKeptToWhenNothingIsTaken) {
  RefusesSuperPackets calls(GetParam());
  Host receiver(1, 1, calls, true);
  Host sender(2, 1, io::system_calls(), true);
  receiver.add_peer(2, std::nullopt);
  sender.add_peer(1, receiver.port());
  calls.interface_is_down = true;
  send_run(sender, 1000);
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (receiver.counter("tun_refused") < 10 && std::chrono::steady_clock::now() < deadline) {
  }
  send_run(sender, 1000);
  while (receiver.counter("tun_refused") < 20 && std::chrono::steady_clock::now() < deadline) {
  }
  EXPECT_EQ(receiver.counter("tun_refused"), 20u);
  EXPECT_EQ(tun_offload(receiver), "tso uso") << "an interface that is down says nothing of offloads";
}

// Segments long enough to be sealed from where they were read, and ones too short for that; more of them than
// go at once, the last one shorter and padded. [issue 9, deliver 1]
TEST(SuperPackets, ArriveByteForByte) {
  crypto::initialize();
  for (const uint16_t segment_bytes : {uint16_t{401}, uint16_t{40}}) {
    Host receiver(1, 1, io::system_calls(), true);
    Host sender(2, 1, io::system_calls(), true);
    sender.add_peer(1, receiver.port());
    receiver.add_peer(2, std::nullopt);
    const auto put = [&sender](const offload::VnetHeader& header, const Packet& packet) {
      Packet with_header(offload::VnetHeader::kBytes);
      header.encode(std::span<uint8_t, offload::VnetHeader::kBytes>(with_header));
      with_header.insert(with_header.end(), packet.begin(), packet.end());
      sender.put(0, with_header);
    };
    put({}, numbered(2, 1, 7, 0));  // what comes before there is a session is kept in pieces
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    bool has_session = false;
    while (!has_session && std::chrono::steady_clock::now() < deadline)
      has_session = receiver.take(0).has_value();
    ASSERT_TRUE(has_session);

    const size_t payload_bytes = size_t{segment_bytes} * 140 + 5;
    const Packet whole = make_packet({.payload_bytes = payload_bytes});  // from 10.0.0.2 to 10.0.0.1
    const size_t headers = whole.size() - payload_bytes;
    put({.needs_checksum = true,
         .gso = offload::GsoKind::kTcpIpv4,
         .segment_bytes = segment_bytes,
         .checksum_start = 20,
         .checksum_offset = 16},
        whole);
    Packet arrived(payload_bytes);
    size_t arrived_bytes = 0;
    while (arrived_bytes < payload_bytes && std::chrono::steady_clock::now() < deadline) {
      const auto packet = receiver.take(0);
      if (!packet) continue;
      const BytesView inner = BytesView(*packet).subspan(offload::VnetHeader::kBytes);
      const size_t at = load_be<uint32_t>(&inner[24]) - load_be<uint32_t>(&whole[24]);
      ASSERT_LE(at + inner.size() - headers, payload_bytes);
      copy_bytes(inner.subspan(headers), MutableBytes(arrived).subspan(at));
      arrived_bytes += inner.size() - headers;
    }
    EXPECT_EQ(arrived, Packet(whole.begin() + static_cast<std::ptrdiff_t>(headers), whole.end()));
  }
}

INSTANTIATE_TEST_SUITE_P(Errors, RefusedSuperPackets, testing::Values(EINVAL, EIO),
                         [](const auto& error) { return error.param == EIO ? "Eio" : "Einval"; });
INSTANTIATE_TEST_SUITE_P(Workers, Devices, testing::Values(1, 2, 4));

}  // namespace
}  // namespace vpn::daemon
