#include "lab/kernel/event_loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>

#include "vpn/base/check.h"

namespace lab {

EventLoop::EventLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  VPN_CHECK(epoll_.is_open());
}

void EventLoop::watch(int fd, std::function<void()> ready) {
  ready_[fd] = std::make_shared<std::function<void()>>(std::move(ready));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  VPN_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
}

void EventLoop::watch_writable(int fd, std::function<void()> ready) {
  const bool known = ready_.contains(fd);
  ready_[fd] = std::make_shared<std::function<void()>>(std::move(ready));
  epoll_event event{};
  event.events = EPOLLOUT;
  event.data.fd = fd;
  VPN_CHECK(::epoll_ctl(epoll_.get(), known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) == 0);
}

void EventLoop::unwatch(int fd) {
  if (ready_.erase(fd) > 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void EventLoop::run() {
  while (running_) run_once();
}

void EventLoop::run_once() {
  std::optional<SteadyTime> earliest;
  for (const Timed* one : timed_) {
    const auto due = one->next_due();
    if (due && (!earliest || *due < *earliest)) earliest = due;
  }
  timespec wait{};
  if (earliest) {
    const auto left =
        std::max(*earliest - std::chrono::steady_clock::now(), std::chrono::steady_clock::duration{});
    wait.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
    wait.tv_nsec = (left % std::chrono::seconds(1)).count();
  }
  std::array<epoll_event, 32> events;
  const int count = ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                   earliest ? &wait : nullptr, nullptr);
  for (int i = 0; i < count; ++i) {
    const auto found = ready_.find(events[static_cast<size_t>(i)].data.fd);
    if (found == ready_.end()) continue;  // unwatched by an earlier callback of this round
    const auto callback = found->second;  // stays alive even if it unwatches itself
    (*callback)();
  }
  const SteadyTime now = std::chrono::steady_clock::now();
  for (Timed* one : timed_) {
    const auto due = one->next_due();
    if (due && *due <= now) one->handle_due(now);
  }
}

}  // namespace lab
