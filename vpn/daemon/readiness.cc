#include "vpn/daemon/readiness.h"

#include <fcntl.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>

namespace vpn::daemon {
namespace {

constexpr char kServes = '+';

void print_error(const std::string& text) {
  std::fprintf(stderr, "vpn: %s\n", text.c_str());
}

// Waits for the byte that says the daemon serves; anything else is its error.
int wait_for(const io::UniqueFd& pipe) {
  std::string text;
  std::array<char, 512> bytes;
  while (true) {
    const ssize_t got = read(pipe.get(), bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(bytes.data(), static_cast<size_t>(got));
    if (text.front() == kServes) return 0;
  }
  print_error(text.empty() ? "the daemon ended before it served" : text);
  return 1;
}

}  // namespace

std::optional<int> Readiness::go_to_background() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  const io::UniqueFd reader(ends[0]);
  io::UniqueFd writer(ends[1]);
  const pid_t child = fork();
  if (child > 0) {
    writer.reset();
    return wait_for(reader);
  }
  if (child == 0) setsid();
  starter_ = std::move(writer);
  return std::nullopt;
}

void Readiness::ready() {
  sd_notify(0, "READY=1");
  if (!starter_.is_open()) return;
  const io::UniqueFd nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int standard : {0, 1, 2}) dup2(nothing.get(), standard);
  [[maybe_unused]] const int changed = chdir("/");  // so that no mounted folder is held
  [[maybe_unused]] const ssize_t put = write(starter_.get(), &kServes, 1);
  starter_.reset();
}

void Readiness::failed(const Error& error) {
  const std::string text = error.to_string();
  sd_notifyf(0, "STATUS=%s", text.c_str());
  if (!starter_.is_open()) return print_error(text);
  [[maybe_unused]] const ssize_t put = write(starter_.get(), text.data(), text.size());
}

void Readiness::stopping() {
  sd_notify(0, "STOPPING=1");
}

}  // namespace vpn::daemon
