#include "lab/vm/vm.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "lab/kernel/namespaces.h"
#include "lab/kernel/unique_fd.h"

namespace lab {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKernelSource = "/usr/src/linux-source-6.12.tar.xz";

// The directory of uml-build and its like: in the source tree, or where the program was installed to.
Result<fs::path> scripts() {
  std::error_code error;
  const fs::path bin = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& place : {bin / "../../lab/vm", bin / "../share/vpn-lab/vm"}) {
    if (fs::exists(place / "uml-run", error)) return fs::weakly_canonical(place, error);
  }
  return fail("lab vm", "its scripts are not installed beside this program",
              "run 'make install', or build/bin/lab");
}

fs::path cache_directory() {
  if (const char* given = std::getenv("LAB_VM_CACHE")) return given;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0')
    return fs::path(cache) / "vpn-lab";
  const char* home = std::getenv("HOME");
  return fs::path(home != nullptr ? home : "/tmp") / ".cache" / "vpn-lab";
}

Result<void> build(const fs::path& script, const fs::path& kernel) {
  const fs::path unfinished = kernel.string() + "." + std::to_string(::getpid());
  const fs::path log = kernel.string() + ".log";
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("", "forking");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // who is interrupted does not go on building
    const UniqueFd output(::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    ::dup2(output.get(), 1);
    ::dup2(output.get(), 2);
    ::execl(script.c_str(), script.c_str(), unfinished.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  std::error_code error;
  if (status == 0 && ::rename(unfinished.c_str(), kernel.c_str()) == 0) return {};
  fs::remove(unfinished, error);
  return fail("lab vm", "the kernel could not be built",
              fmt::format("see {}; 'ci/install-deps' brings what it needs", log.string()));
}

}  // namespace

Result<std::string> cached_kernel_path() {
  const auto from = scripts();
  if (!from) return fail(from.error());
  struct stat source {};
  if (::stat(kKernelSource, &source) != 0) {
    return fail(kKernelSource, "it is not there", "install linux-source-6.12 ('ci/install-deps' does)");
  }
  // Of another source package, configuration or build script comes another kernel.
  std::string identity = fmt::format("{} {}\n", source.st_size, source.st_mtime);
  for (const char* part : {"uml.config", "uml-build"}) {
    const auto text = read_file(*from / part);
    if (!text) return fail(text.error());
    identity += *text;
  }
  std::array<unsigned char, crypto_generichash_BYTES_MIN> digest{};
  crypto_generichash(digest.data(), digest.size(), reinterpret_cast<const unsigned char*>(identity.data()),
                     identity.size(), nullptr, 0);
  return (cache_directory() / fmt::format("linux-uml-6.12-{:02x}", fmt::join(digest, ""))).string();
}

Result<std::string> ensure_kernel() {
  const auto kernel = cached_kernel_path();
  if (!kernel) return fail(kernel.error());
  std::error_code error;
  if (fs::exists(*kernel, error)) return *kernel;
  fs::create_directories(fs::path(*kernel).parent_path(), error);
  const UniqueFd lock(::open((*kernel + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.is_open()) return fail_errno(*kernel, "opening the cache", "name another place by LAB_VM_CACHE");
  if (::flock(lock.get(), LOCK_EX) != 0) return fail_errno(*kernel, "locking the cache");
  if (fs::exists(*kernel, error)) return *kernel;  // another process has just built it
  fmt::print(stderr, "lab vm: building the kernel, once; this takes some minutes\n");
  const auto from = scripts();
  if (!from) return fail(from.error());
  if (auto built = build(*from / "uml-build", *kernel); !built) return fail(built.error());
  return *kernel;
}

Error run_in_vm(const VmOptions& options, const std::vector<std::string>& argv) {
  const auto from = scripts();
  if (!from) return from.error();
  std::vector<std::string> call;
  if (options.machine == Machine::kUml) {
    const auto kernel = ensure_kernel();
    if (!kernel) return kernel.error();
    call = {*from / "uml-run", "-k", *kernel};
  } else {
    const char* kernel = std::getenv("LAB_KDIR");
    if (kernel == nullptr) {
      return Error{"lab vm", "no kernel for QEMU is named",
                   "unpack a linux-image package into a directory, prepare it with lab/vm/qemu-prep DIR, and "
                   "set LAB_KDIR=DIR"};
    }
    call = {*from / "qemu-run", "-K", kernel};
  }
  call.insert(call.end(), {"-m", options.memory, "-t", std::to_string(options.limit_seconds)});
  std::vector<std::string> writable = options.writable;
  writable.push_back(fs::current_path());
  for (const std::string& directory : writable) call.insert(call.end(), {"-w", directory});
  call.emplace_back("--");
  call.insert(call.end(), argv.begin(), argv.end());
  std::vector<char*> arguments;
  for (std::string& one : call) arguments.push_back(one.data());
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  return fail_errno(call[0], "starting it").value();
}

}  // namespace lab
