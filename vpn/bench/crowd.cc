// vpn_bench_crowd: many peers of one daemon within one process, for `lab bench --curve active`: as many
// nodes, each with keys and a socket of its own, make their handshakes, and count the packets they open.
//
// Reads: the hub's public key, its endpoint, "chacha20-poly1305" or "aes-256-gcm", then a private key a line.
// Writes: "ready" once every session stands, then, whenever it has changed, the count of packets opened.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "vpn/config/text.h"
#include "vpn/core/node.h"
#include "vpn/crypto/initialize.h"
#include "vpn/io/system.h"
#include "vpn/io/udp_address_codec.h"
#include "vpn/io/unique_fd.h"

namespace {

using vpn::core::Node;

constexpr size_t kBatch = 64;
constexpr size_t kLongestDatagram = 2048;
constexpr int kReceiveBytes = 8 << 20;  // what is lost, is lost before
constexpr auto kTell = std::chrono::milliseconds(20);
constexpr auto kTimers = std::chrono::milliseconds(100);
constexpr std::chrono::seconds kKeepalive{25};  // above all: makes the handshake at once

struct Hub {
  vpn::PublicKey key;
  vpn::UdpAddress address;
  vpn::crypto::Suite suite = vpn::crypto::Suite::kChaCha20Poly1305;
};

// One peer: a node and its socket, connected to the hub.
class Member {
 public:
  Member(const Hub& hub, const vpn::Secret<32>& key, vpn::crypto::RandomSource& random)
      : hub_(hub), node_(vpn::crypto::select_aeads(), random, {}, vpn::io::read_clock()) {
    const vpn::Now now = vpn::io::read_clock();
    socket_ = vpn::io::UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof kReceiveBytes) != 0) {
      ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBytes, sizeof kReceiveBytes);
    }
    sockaddr_storage to{};
    const socklen_t length = vpn::io::to_sockaddr(hub.address, to);
    (void)!::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&to), length);
    node_.set_private_key(key, now);
    if (const auto peer = node_.add_peer(hub.key, hub.suite, now)) {
      node_.allow(*peer, *vpn::IpPrefix::parse("0.0.0.0/0"));
      node_.set_endpoint(*peer, {hub.address, std::nullopt, 0}, now);
      node_.set_persistent_keepalive(*peer, kKeepalive, now);
    }
    send(now);
  }

  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] bool stands() const { return stands_; }

  // Opens one datagram; whether it held a packet.
  bool take(vpn::MutableBytes datagram, vpn::Now now) {
    const auto delivery = node_.receive_datagram({hub_.address, std::nullopt, 0}, 0, datagram, now);
    return delivery && !delivery->packet.empty();
  }
  void handle_timeout(vpn::Now now) {
    node_.handle_timeout(now);
    send(now);
  }
  void send(vpn::Now now) {
    while (const auto transmit = node_.poll_transmit(now)) {
      (void)!::send(socket_.get(), transmit->datagram.data(), transmit->datagram.size(), MSG_NOSIGNAL);
    }
    while (const auto event = node_.poll_event()) {
      stands_ |= event->kind == vpn::core::EventKind::kHandshakeCompleted;
    }
  }

 private:
  const Hub& hub_;
  vpn::io::UniqueFd socket_;
  Node node_;
  bool stands_ = false;
};

class Crowd {
 public:
  explicit Crowd(std::vector<std::unique_ptr<Member>> members) : members_(std::move(members)) {
    poll_ = vpn::io::UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
    for (size_t index = 0; index < members_.size(); ++index) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = index;
      ::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, members_[index]->fd(), &event);
    }
    for (size_t index = 0; index < kBatch; ++index) {
      slices_[index] = {memory_.data() + index * kLongestDatagram, kLongestDatagram};
      messages_[index].msg_hdr.msg_iov = &slices_[index];
      messages_[index].msg_hdr.msg_iovlen = 1;
    }
  }

  // Until the lab ends it.
  [[noreturn]] void run() {
    std::array<epoll_event, kBatch> ready{};
    for (;;) {
      const int count = ::epoll_wait(poll_.get(), ready.data(), kBatch, static_cast<int>(kTell.count()));
      const vpn::Now now = vpn::io::read_clock();
      for (int index = 0; index < count; ++index) {
        receive(*members_[ready[static_cast<size_t>(index)].data.u64], now);
      }
      look_at_the_clock();
    }
  }

 private:
  void receive(Member& member, vpn::Now now) {
    const int count = ::recvmmsg(member.fd(), messages_.data(), kBatch, 0, nullptr);
    for (int index = 0; index < count; ++index) {
      const mmsghdr& message = messages_[static_cast<size_t>(index)];
      opened_ +=
          member.take({static_cast<uint8_t*>(message.msg_hdr.msg_iov->iov_base), message.msg_len}, now);
    }
    member.send(now);
  }

  void look_at_the_clock() {
    const auto now = std::chrono::steady_clock::now();
    if (now - timers_run_ > kTimers) {
      timers_run_ = now;
      for (const auto& member : members_) member->handle_timeout(vpn::io::read_clock());
    }
    if (now - told_ < kTell) return;
    told_ = now;
    if (!ready_) {
      for (const auto& member : members_) {
        if (!member->stands()) return;
      }
      ready_ = true;
      std::puts("ready");
    } else if (opened_ != told_count_) {
      std::printf("%llu\n", static_cast<unsigned long long>(opened_));
      told_count_ = opened_;
    }
    std::fflush(stdout);
  }

  std::vector<std::unique_ptr<Member>> members_;
  vpn::io::UniqueFd poll_;
  std::vector<uint8_t> memory_ = std::vector<uint8_t>(kBatch * kLongestDatagram);
  std::array<iovec, kBatch> slices_{};
  std::array<mmsghdr, kBatch> messages_{};
  uint64_t opened_ = 0;
  uint64_t told_count_ = 0;
  bool ready_ = false;
  std::chrono::steady_clock::time_point told_{};
  std::chrono::steady_clock::time_point timers_run_{};
};

int complain() {
  std::fputs(
      "vpn_bench_crowd: expected the hub's key, its endpoint, a cipher, and private keys, a line each\n",
      stderr);
  return 1;
}

}  // namespace

int main() {
  vpn::crypto::initialize();
  vpn::io::SystemRandom random;
  Hub hub;
  std::string line;
  const auto next = [&line] { return static_cast<bool>(std::getline(std::cin, line)); };
  const auto key = next() ? vpn::config::key_from_base64(line) : std::nullopt;
  const auto address = next() ? vpn::UdpAddress::parse(line) : std::nullopt;
  if (!key || !address || !next()) return complain();
  std::copy(key->view().begin(), key->view().end(), hub.key.bytes.begin());
  hub.address = *address;
  if (line == "aes-256-gcm") hub.suite = vpn::crypto::Suite::kAes256Gcm;
  std::vector<std::unique_ptr<Member>> members;
  while (next()) {
    const auto private_key = vpn::config::key_from_base64(line);
    if (!private_key) return complain();
    members.push_back(std::make_unique<Member>(hub, *private_key, random));
  }
  if (members.empty()) return complain();
  Crowd(std::move(members)).run();
}
