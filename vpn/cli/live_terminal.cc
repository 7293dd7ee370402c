#include "vpn/cli/live_terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string_view>

namespace vpn::cli {
namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";  // alternate screen, no cursor
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

}  // namespace

LiveTerminal::LiveTerminal(int in_fd, int out_fd) : in_fd_(in_fd), out_fd_(out_fd) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, &signals_before_);
  signals_ = io::UniqueFd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  has_input_ = tcgetattr(in_fd_, &before_) == 0;
  if (has_input_) {
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    tcsetattr(in_fd_, TCSANOW, &raw);
  }
  (void)write_all(kEnter);
}

LiveTerminal::~LiveTerminal() {
  if (has_input_) tcsetattr(in_fd_, TCSANOW, &before_);
  (void)write_all(kLeave);
  signals_.reset();
  pthread_sigmask(SIG_SETMASK, &signals_before_, nullptr);
}

LiveTerminal::Size LiveTerminal::size() const noexcept {
  winsize window{};
  if (ioctl(out_fd_, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0) return {};
  return {window.ws_col, window.ws_row};
}

bool LiveTerminal::draw(const std::string& frame) const {
  std::string output(kHome);
  size_t begin = 0;
  while (begin < frame.size()) {
    const size_t end = std::min(frame.find('\n', begin), frame.size());
    if (begin > 0) output += "\r\n";  // none behind the last line, which would scroll
    output.append(frame, begin, end - begin).append(kClearLine);
    begin = end + 1;
  }
  return write_all(output.append(kClearBelow));
}

LiveTerminal::Event LiveTerminal::wait(std::chrono::milliseconds time) const {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + time;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return Event::kTimeout;
    pollfd ready[] = {{signals_.get(), POLLIN, 0}, {has_input_ ? in_fd_ : -1, POLLIN, 0}};
    if (poll(ready, std::size(ready), static_cast<int>(left.count())) < 0 && errno != EINTR)
      return Event::kQuit;
    signalfd_siginfo signal{};
    if (read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
      return signal.ssi_signo == SIGWINCH ? Event::kResized : Event::kQuit;
    }
    if ((ready[1].revents & POLLIN) != 0) {
      char key = 0;
      if (read(in_fd_, &key, 1) != 1 || key == 'q' || key == 'Q') return Event::kQuit;
    } else if (ready[1].revents != 0) {
      return Event::kQuit;  // the terminal hung up
    }
  }
}

bool LiveTerminal::write_all(std::string_view text) const {
  while (!text.empty()) {
    const ssize_t put = write(out_fd_, text.data(), text.size());
    if (put < 0 && errno != EINTR) return false;
    if (put > 0) text.remove_prefix(static_cast<size_t>(put));
  }
  return true;
}

}  // namespace vpn::cli
