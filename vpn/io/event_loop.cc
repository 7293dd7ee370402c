#include "vpn/io/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "vpn/base/check.h"
#include "vpn/io/system.h"

namespace vpn::io {
namespace {

Error loop_error(const char* what) {
  return {"", 0, "", std::string(what) + ": " + error_text(errno), "raise the limit of open files"};
}

}  // namespace

Result<EventLoop, Error> EventLoop::create() {
  EventLoop loop;
  loop.epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  if (!loop.epoll_.is_open()) return fail(loop_error("epoll"));
  loop.timer_ = UniqueFd(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!loop.timer_.is_open()) return fail(loop_error("timerfd"));
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  if (epoll_ctl(loop.epoll_.get(), EPOLL_CTL_ADD, loop.timer_.get(), &event) != 0)
    return fail(loop_error("epoll"));
  loop.wake_ = UniqueFd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!loop.wake_.is_open()) return fail(loop_error("eventfd"));
  event.data.ptr = loop.posted_.get();
  if (epoll_ctl(loop.epoll_.get(), EPOLL_CTL_ADD, loop.wake_.get(), &event) != 0)
    return fail(loop_error("epoll"));
  return loop;
}

void EventLoop::watch(int fd, Handler handler) {
  auto added = std::make_shared<Watch>(Watch{fd, std::move(handler)});
  epoll_event event{.events = EPOLLIN, .data = {.ptr = added.get()}};
  VPN_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
  watches_[fd] = std::move(added);
}

void EventLoop::watch_writable(int fd, bool on) {
  epoll_event event{.events = on ? EPOLLOUT : EPOLLIN, .data = {.ptr = watches_.at(fd).get()}};
  VPN_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void EventLoop::unwatch(int fd) noexcept {
  const auto found = watches_.find(fd);
  if (found == watches_.end()) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  found->second->removed = true;
  watches_.erase(found);
}

Result<bool, Error> EventLoop::watch_signals(const std::vector<int>& signals, SignalHandler handler) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  errno = pthread_sigmask(SIG_BLOCK, &set, nullptr);
  if (errno != 0) return fail(loop_error("pthread_sigmask"));
  signals_ = UniqueFd(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals_.is_open()) return fail(loop_error("signalfd"));
  watch(signals_.get(), [fd = signals_.get(), handler = std::move(handler)] {
    signalfd_siginfo info{};
    while (read(fd, &info, sizeof info) == sizeof info) handler(static_cast<int>(info.ssi_signo));
  });
  return true;
}

void EventLoop::set_timer(std::optional<Instant> when) noexcept {
  // A due time that only moves away costs no system call: the timer comes when it was set to, and is set anew
  // then.
  if (!when || (timer_due_ && *timer_due_ <= *when)) return;
  timer_due_ = when;
  itimerspec spec{};
  const Duration at = std::max(when->time_since_epoch(), Duration(1));  // zero would disarm
  spec.it_value.tv_sec = static_cast<time_t>(at / std::chrono::seconds(1));
  spec.it_value.tv_nsec = static_cast<long>((at % std::chrono::seconds(1)).count());
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

void EventLoop::wake() noexcept {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = write(wake_.get(), &one, sizeof one);
}

void EventLoop::post(Handler task) {
  {
    const std::lock_guard lock(posted_->mutex);
    posted_->tasks.push_back(std::move(task));
  }
  wake();
}

void EventLoop::run_posted() {
  uint64_t wakes = 0;
  [[maybe_unused]] const ssize_t got = read(wake_.get(), &wakes, sizeof wakes);
  std::vector<Handler> tasks;
  {
    const std::lock_guard lock(posted_->mutex);
    tasks.swap(posted_->tasks);
  }
  for (const Handler& task : tasks) task();
}

void EventLoop::run(const Handler& after_round) {
  stopped_ = false;
  std::array<epoll_event, 64> events;
  while (!stopped_) {
    const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    if (count < 0 && errno == EINTR) continue;
    VPN_CHECK(count >= 0);
    // Handlers may remove one another, so each is held for as long as this round lasts.
    std::array<std::shared_ptr<Watch>, events.size()> round;
    bool timer_due = false;
    bool woken = false;
    for (size_t index = 0; index < static_cast<size_t>(count); ++index) {
      if (events[index].data.ptr == nullptr) {
        timer_due = true;
        continue;
      }
      if (events[index].data.ptr == posted_.get()) {
        woken = true;
        continue;
      }
      const auto found = watches_.find(static_cast<Watch*>(events[index].data.ptr)->fd);
      if (found != watches_.end()) round[index] = found->second;
    }
    if (woken) run_posted();
    if (timer_due) {
      uint64_t expirations = 0;
      [[maybe_unused]] const ssize_t got = read(timer_.get(), &expirations, sizeof expirations);
      timer_due_.reset();
      if (timer_handler_) timer_handler_();
    }
    for (size_t index = 0; index < static_cast<size_t>(count); ++index) {
      if (round[index] && !round[index]->removed) round[index]->handler();
    }
    after_round();
  }
}

}  // namespace vpn::io
