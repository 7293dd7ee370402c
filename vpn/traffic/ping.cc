#include "vpn/traffic/ping.h"

#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>

#include "vpn/io/udp_address_codec.h"

namespace vpn::traffic {
namespace {

constexpr size_t kPayloadBytes = 56;  // as ping(8)
constexpr Duration kFirstInterval = std::chrono::milliseconds(20);

struct Echo {
  icmphdr header{};
  timespec sent{};
  std::array<uint8_t, kPayloadBytes - sizeof(timespec)> filling{};
};

uint16_t internet_checksum(const void* data, size_t bytes) {
  uint32_t sum = 0;
  for (size_t at = 0; at + 1 < bytes; at += 2) {
    uint16_t word = 0;
    std::memcpy(&word, static_cast<const uint8_t*>(data) + at, sizeof word);
    sum += word;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

double milliseconds_between(const timespec& from, const timespec& to) {
  return static_cast<double>(to.tv_sec - from.tv_sec) * 1e3 +
         static_cast<double>(to.tv_nsec - from.tv_nsec) * 1e-6;
}

class Pinger {
 public:
  static Result<Pinger, Error> open(const End& from, const End& to) {
    auto socket = open_socket(from, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP);
    if (!socket) return fail(std::move(socket.error()));
    const int on = 1;
    ::setsockopt(socket->get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    sockaddr_storage address{};
    const socklen_t length = io::to_sockaddr({to.address, 0, 0}, address);
    if (::connect(socket->get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
      return fail(system_error(from, "reaching " + to.address.to_string()));
    }
    return Pinger(from, std::move(*socket));
  }

  // Sends one; a path that is not there yet is no error.
  Result<void, Error> send() {
    Echo echo;
    echo.header.type = ICMP_ECHO;
    echo.header.un.echo.id = id_;
    echo.header.un.echo.sequence = htons(sequence_++);
    ::clock_gettime(CLOCK_REALTIME, &echo.sent);
    echo.header.checksum = internet_checksum(&echo, sizeof echo);
    if (::send(socket_.get(), &echo, sizeof echo, 0) < 0 && errno != EAGAIN && errno != ENOBUFS &&
        errno != EHOSTUNREACH && errno != ENETUNREACH && errno != EDESTADDRREQ && errno != ENOKEY) {
      return fail(system_error(from_, "sending ICMP"));
    }
    return {};
  }

  // Waits for the next answer to one of ours, until `deadline`; its round trip in milliseconds.
  std::optional<double> receive(SteadyClock::time_point deadline) {
    for (;;) {
      if (const auto trip = take()) return trip;
      const auto left = std::chrono::duration_cast<Duration>(deadline - SteadyClock::now());
      if (left <= Duration::zero()) return std::nullopt;
      const timespec wait{static_cast<time_t>(left.count() / 1'000'000'000),
                          static_cast<long>(left.count() % 1'000'000'000)};
      pollfd one{socket_.get(), POLLIN, 0};
      if (::ppoll(&one, 1, &wait, nullptr) == 0) return std::nullopt;
    }
  }

 private:
  Pinger(const End& from, io::UniqueFd socket) : from_(from), socket_(std::move(socket)) {
    static std::atomic<uint16_t> next_id{static_cast<uint16_t>(::getpid())};
    id_ = next_id++;
  }

  std::optional<double> take() {
    for (;;) {
      std::array<uint8_t, 256> packet{};
      alignas(cmsghdr) std::array<char, 128> control{};
      iovec slice{packet.data(), packet.size()};
      msghdr message{};
      message.msg_iov = &slice;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      const ssize_t count = ::recvmsg(socket_.get(), &message, 0);
      if (count < 0 && errno == EAGAIN) return std::nullopt;
      const size_t header_bytes = size_t{packet[0] & 0x0fU} * 4;
      Echo echo;
      if (count < static_cast<ssize_t>(header_bytes + sizeof echo)) continue;
      std::memcpy(&echo, packet.data() + header_bytes, sizeof echo);
      if (echo.header.type != ICMP_ECHOREPLY || echo.header.un.echo.id != id_) continue;
      const cmsghdr* const stamp = CMSG_FIRSTHDR(&message);
      if (stamp == nullptr || stamp->cmsg_type != SO_TIMESTAMPNS) continue;
      timespec arrived{};
      std::memcpy(&arrived, CMSG_DATA(stamp), sizeof arrived);
      return milliseconds_between(echo.sent, arrived);
    }
  }

  End from_;
  io::UniqueFd socket_;
  uint16_t id_ = 0;
  uint16_t sequence_ = 0;
};

}  // namespace

Result<PingResult, Error> ping(const End& from, const End& to, const PingLoad& load) {
  auto pinger = Pinger::open(from, to);
  if (!pinger) return fail(std::move(pinger.error()));
  PingResult result;
  const auto begin = SteadyClock::now();
  for (auto due = begin; due - begin < load.duration; due += load.interval) {
    if (auto sent = pinger->send(); !sent) return fail(std::move(sent.error()));
    ++result.sent;
    while (const auto trip = pinger->receive(due + load.interval)) result.round_trips_ms.push_back(*trip);
  }
  const auto deadline = SteadyClock::now() + load.wait;
  while (result.round_trips_ms.size() < result.sent) {
    const auto trip = pinger->receive(deadline);
    if (!trip) break;
    result.round_trips_ms.push_back(*trip);
  }
  return result;
}

Result<bool, Error> await_answer(const End& from, const End& to, Duration limit) {
  auto pinger = Pinger::open(from, to);
  if (!pinger) return fail(std::move(pinger.error()));
  for (const auto deadline = SteadyClock::now() + limit; SteadyClock::now() < deadline;) {
    if (auto sent = pinger->send(); !sent) return fail(std::move(sent.error()));
    if (pinger->receive(SteadyClock::now() + kFirstInterval)) return true;
  }
  return false;
}

}  // namespace vpn::traffic
