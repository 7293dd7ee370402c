#include "vpn/io/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace vpn::io {
namespace {

constexpr int kGroupSignals[] = {SIGINT, SIGTERM, SIGHUP};

void close_all_but(int kept) noexcept {
  constexpr unsigned kFirst = 3;
  const auto own = static_cast<unsigned>(kept);
  if (own > kFirst) close_range(kFirst, own - 1, 0);
  close_range(own + 1, ~0U, 0);
}

}  // namespace

SpawnAttributes::SpawnAttributes() noexcept {
  posix_spawnattr_init(&attributes_);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes_, &none);
  sigset_t ending;
  sigemptyset(&ending);
  for (const int signal : kGroupSignals) sigaddset(&ending, signal);
  posix_spawnattr_setsigdefault(&attributes_, &ending);
  posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

void close_standard_files() noexcept {
  const UniqueFd nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int standard : {0, 1, 2}) dup2(nothing.get(), standard);
}

Companion::Companion(const char* name, const Serve& serve) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
  channel_ = UniqueFd(ends[0]);
  UniqueFd other(ends[1]);
  process_ = fork();
  if (process_ != 0) return;
  close_all_but(other.get());
  prctl(PR_SET_NAME, name);
  for (const int signal : kGroupSignals) std::signal(signal, SIG_IGN);
  serve(other);
  _exit(0);
}

Companion::~Companion() {
  channel_.reset();
  if (process_ > 0) waitpid(process_, nullptr, 0);
}

}  // namespace vpn::io
