#include "vpn/io/process.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <span>

namespace vpn::io {
namespace {

constexpr int kGroupSignals[] = {SIGINT, SIGTERM, SIGHUP};

void close_all_but(int kept) noexcept {
  constexpr unsigned kFirst = 3;
  const auto own = static_cast<unsigned>(kept);
  if (own > kFirst) close_range(kFirst, own - 1, 0);
  close_range(own + 1, ~0U, 0);
}

// Whether the loader wrote into what cannot be written to now, which would be lost with its page.
bool has_changed_code(const dl_phdr_info& program) noexcept {
  const std::span segments(program.dlpi_phdr, program.dlpi_phnum);
  const auto dynamic = std::ranges::find(segments, ElfW(Word){PT_DYNAMIC}, &ElfW(Phdr)::p_type);
  if (dynamic == segments.end()) return false;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader tells addresses as numbers
  const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(program.dlpi_addr + dynamic->p_vaddr);
  for (; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_TEXTREL) return true;
    if (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0) return true;
  }
  return false;
}

int give_back_code(dl_phdr_info* program, size_t, void*) noexcept {
  if (has_changed_code(*program)) return 0;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  for (const ElfW(Phdr) & segment : std::span(program->dlpi_phdr, program->dlpi_phnum)) {
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const uintptr_t begin = program->dlpi_addr + segment.p_vaddr;
    const uintptr_t first = begin - begin % page;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader tells addresses as numbers
    madvise(reinterpret_cast<void*>(first), begin + segment.p_memsz - first, MADV_DONTNEED);
  }
  return 0;
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

void give_back_memory_of_start() noexcept {
  malloc_trim(0);
  dl_iterate_phdr(give_back_code, nullptr);
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
