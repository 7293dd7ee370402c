#include "vpn/traffic/tcp_load.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "vpn/io/udp_address_codec.h"

namespace vpn::traffic {
namespace {

constexpr size_t kCallBytes = 128 * 1024;
constexpr int kLookMilliseconds = 100;  // how often the threads look whether they are to stop

int milliseconds_until(SteadyClock::time_point when) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - SteadyClock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

bool wait_for(int fd, short events, SteadyClock::time_point deadline) {
  pollfd one{fd, events, 0};
  while (true) {
    const int ready = ::poll(&one, 1, milliseconds_until(deadline));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

// The two ends of all streams of a load.
struct Streams {
  std::vector<io::UniqueFd> senders;
  std::vector<io::UniqueFd> receivers;
};

Result<io::UniqueFd, Error> connect_to(const End& from, const UdpAddress& to,
                                       SteadyClock::time_point deadline) {
  auto socket = open_socket(from, SOCK_STREAM | SOCK_NONBLOCK);
  if (!socket) return socket;
  sockaddr_storage address{};
  const socklen_t length = io::to_sockaddr(to, address);
  if (::connect(socket->get(), reinterpret_cast<const sockaddr*>(&address), length) == 0) return socket;
  if (errno != EINPROGRESS) return fail(system_error(from, "connecting to " + to.to_string()));
  if (!wait_for(socket->get(), POLLOUT, deadline)) {
    return fail(
        Error{from.address.to_string(), 0, "", "no TCP connection to " + to.to_string() + " in time", ""});
  }
  int problem = 0;
  socklen_t size = sizeof problem;
  ::getsockopt(socket->get(), SOL_SOCKET, SO_ERROR, &problem, &size);
  if (problem == 0) return socket;
  errno = problem;
  return fail(system_error(from, "connecting to " + to.to_string()));
}

Result<Streams, Error> connect_all(const End& from, const End& to, const TcpLoad& load) {
  const auto deadline = SteadyClock::now() + load.connect_limit;
  UdpAddress bound;
  auto listener = open_bound(to, SOCK_STREAM, 0, bound);
  if (!listener) return fail(std::move(listener.error()));
  if (::listen(listener->get(), static_cast<int>(load.streams)) != 0) {
    return fail(system_error(to, "listening"));
  }
  Streams streams;
  for (size_t index = 0; index < load.streams; ++index) {
    auto sender = connect_to(from, bound, deadline);
    if (!sender) return fail(std::move(sender.error()));
    if (!wait_for(listener->get(), POLLIN, deadline)) {
      return fail(Error{to.address.to_string(), 0, "", "no connection arrived in time", ""});
    }
    io::UniqueFd receiver(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!receiver.is_open()) return fail(system_error(to, "accepting"));
    streams.senders.push_back(std::move(*sender));
    streams.receivers.push_back(std::move(receiver));
  }
  return streams;
}

// Calls `work` for each socket that is ready, until `stop`.
void serve(const std::vector<io::UniqueFd>& sockets, uint32_t events, const std::atomic<bool>& stop,
           const std::function<void(int fd)>& work) {
  const io::UniqueFd poll(::epoll_create1(EPOLL_CLOEXEC));
  for (const io::UniqueFd& socket : sockets) {
    epoll_event event{};
    event.events = events;
    event.data.fd = socket.get();
    ::epoll_ctl(poll.get(), EPOLL_CTL_ADD, socket.get(), &event);
  }
  std::vector<epoll_event> ready(sockets.size());
  while (!stop.load(std::memory_order_relaxed)) {
    const int count =
        ::epoll_wait(poll.get(), ready.data(), static_cast<int>(ready.size()), kLookMilliseconds);
    for (int index = 0; index < count; ++index) work(ready[static_cast<size_t>(index)].data.fd);
  }
}

}  // namespace

Result<TcpResult, Error> measure_tcp(const End& from, const End& to, const TcpLoad& load,
                                     const WindowHooks& hooks) {
  auto streams = connect_all(from, to, load);
  if (!streams) return fail(std::move(streams.error()));
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> received = 0;
  const std::vector<char> payload(kCallBytes, 'v');
  std::thread receiver([&] {
    std::vector<char> buffer(kCallBytes);
    serve(streams->receivers, EPOLLIN, stop, [&](int fd) {
      const ssize_t count = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (count > 0) received.fetch_add(static_cast<uint64_t>(count), std::memory_order_relaxed);
    });
  });
  std::thread sender([&] {
    serve(streams->senders, EPOLLOUT, stop,
          [&](int fd) { (void)!::send(fd, payload.data(), payload.size(), MSG_NOSIGNAL); });
  });
  std::this_thread::sleep_for(load.warm_up);
  if (hooks.begins) hooks.begins();
  const auto begin = SteadyClock::now();
  const uint64_t before = received.load();
  std::this_thread::sleep_for(load.window);
  const uint64_t after = received.load();
  const auto end = SteadyClock::now();
  if (hooks.ends) hooks.ends();
  stop = true;
  sender.join();
  receiver.join();
  if (after == before) {
    return fail(Error{to.address.to_string(), 0, "", "nothing arrived on a connection that stands", ""});
  }
  return TcpResult{after - before, to_seconds(end - begin)};
}

}  // namespace vpn::traffic
