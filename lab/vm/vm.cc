#include "lab/vm/vm.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <utility>

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

// Empty where it is not set. Nothing here runs beside another thread.
std::string environment(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value != nullptr ? value : "";
}

fs::path cache_directory() {
  if (const std::string given = environment("LAB_VM_CACHE"); !given.empty()) return given;
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty())
    return fs::path(cache) / "vpn-lab";
  const std::string home = environment("HOME");
  return fs::path(home.empty() ? "/tmp" : home) / ".cache" / "vpn-lab";
}

// Has a script make `result`, a file or a directory, unless it is there: one process at a time, all or
// nothing.
Result<std::string> ensure(const fs::path& result, const char* script, const char* announcement) {
  const auto from = scripts();
  if (!from) return fail(from.error());
  std::error_code error;
  if (fs::exists(result, error)) return result.string();
  fs::create_directories(result.parent_path(), error);
  const UniqueFd lock(::open((result.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.is_open()) return fail_errno(result, "opening the cache", "name another place by LAB_VM_CACHE");
  if (::flock(lock.get(), LOCK_EX) != 0) return fail_errno(result, "locking the cache");
  if (fs::exists(result, error)) return result.string();  // another process has just made it
  fmt::print(stderr, "lab vm: {}\n", announcement);
  const fs::path unfinished = result.string() + "." + std::to_string(::getpid());
  const std::string log = result.string() + ".log";
  const std::string program = *from / script;
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("", "forking");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // who is interrupted does not go on building
    const UniqueFd output(::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    ::dup2(output.get(), 1);
    ::dup2(output.get(), 2);
    ::execl(program.c_str(), program.c_str(), unfinished.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status == 0 && ::rename(unfinished.c_str(), result.c_str()) == 0) return result.string();
  fs::remove_all(unfinished, error);
  return fail("lab vm", std::string("the kernel could not be made ready by ") + script,
              fmt::format("see {}; 'ci/install-deps' brings what it needs", log));
}

bool is_installed(const std::string& program) {
  for (const char* place :
       {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"}) {
    if (::access((place + program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

// Those of `needed` (file or program, package) that are not there, as apt-get takes them.
std::string missing_packages(std::initializer_list<std::pair<const char*, const char*>> needed) {
  std::string packages;
  for (const auto& [what, package] : needed) {
    const bool there = *what == '/' ? ::access(what, R_OK) == 0 : is_installed(what);
    if (!there) packages += std::string(packages.empty() ? "" : " ") + package;
  }
  return packages;
}

// Whether this process may trace a child's system calls, which is how User-Mode Linux runs programs.
bool can_trace() {
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(1);
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const bool stopped = WIFSTOPPED(status);
  if (stopped) {
    ::kill(child, SIGKILL);
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
  }
  return stopped;
}

bool is_ready_for_qemu(const fs::path& kernel) {
  std::error_code error;
  return fs::exists(kernel / "lab/vmlinuz", error) && fs::exists(kernel / "lab/initrd", error);
}

fs::path qemu_kernel_path() {
  if (const std::string given = environment("LAB_KDIR"); !given.empty()) return given;
  return cache_directory() / "linux-debian";
}

Readiness uml_readiness() {
#if !defined(__x86_64__)
  return {false, "User-Mode Linux is for x86-64 processors", "use a machine that has one"};
#endif
  if (read_file("/proc/cpuinfo").value_or("").find(" amx_tile") != std::string::npos) {
    return {false, "User-Mode Linux does not run on a processor with AMX", "use 'lab vm run --machine qemu'"};
  }
  if (!can_trace()) {
    return {false, "this process may not trace its children",
            "sysctl kernel.yama.ptrace_scope=1; in a container, --cap-add SYS_PTRACE"};
  }
  const auto kernel = cached_kernel_path();
  std::error_code error;
  if (kernel && fs::exists(*kernel, error)) return {true, "its kernel is built: " + *kernel, ""};
  const std::string packages = missing_packages({{kKernelSource, "linux-source-6.12"},
                                                 {"gcc", "gcc"},
                                                 {"make", "make"},
                                                 {"flex", "flex"},
                                                 {"bison", "bison"},
                                                 {"bc", "bc"},
                                                 {"xz", "xz-utils"},
                                                 {"/usr/include/gelf.h", "libelf-dev"}});
  if (!packages.empty()) return {false, "its kernel cannot be built here", "apt-get install " + packages};
  if (!kernel) return {false, kernel.error().what, kernel.error().remedy};
  return {true, "the first 'lab vm run' builds its kernel, in some minutes", ""};
}

Readiness qemu_readiness() {
  const fs::path kernel = qemu_kernel_path();
  const bool ready = is_ready_for_qemu(kernel);
  std::string packages = missing_packages({{"qemu-system-x86_64", "qemu-system-x86"}});
  if (!ready) {
    const std::string others = missing_packages({{"apt-get", "apt"},
                                                 {"busybox", "busybox-static"},
                                                 {"cpio", "cpio"},
                                                 {"depmod", "kmod"},
                                                 {"xz", "xz-utils"}});
    packages += (packages.empty() || others.empty() ? "" : " ") + others;
  }
  if (!packages.empty()) return {false, "programs are missing", "apt-get install " + packages};
  if (!ready && !environment("LAB_KDIR").empty()) {
    return {false, "LAB_KDIR=" + kernel.string() + " is no kernel made ready",
            "run lab/vm/qemu-prep on it, or unset LAB_KDIR"};
  }
  return {true, ready ? "its kernel is ready: " + kernel.string() : "the first run fetches Debian's kernel",
          ""};
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
  return ensure(*kernel, "uml-build", "building the kernel, once; this takes some minutes");
}

Result<std::string> ensure_qemu_kernel() {
  const fs::path kernel = qemu_kernel_path();
  if (is_ready_for_qemu(kernel)) return kernel.string();
  if (const Readiness found = qemu_readiness(); !found.ready) {
    return fail("lab vm", found.detail, found.remedy);
  }
  return ensure(kernel, "qemu-fetch", "fetching Debian's kernel, once");
}

Readiness readiness_of(Machine machine) {
  if (const auto from = scripts(); !from) return {false, from.error().what, from.error().remedy};
  return machine == Machine::kUml ? uml_readiness() : qemu_readiness();
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
    const auto kernel = ensure_qemu_kernel();
    if (!kernel) return kernel.error();
    call = {*from / "qemu-run", "-K", *kernel};
  }
  call.insert(call.end(), {"-m", options.memory, "-t", std::to_string(options.limit_seconds)});
  std::vector<std::string> writable = options.writable;
  writable.push_back(fs::current_path());
  for (const std::string& directory : writable) call.insert(call.end(), {"-w", directory});
  call.emplace_back("--");
  call.insert(call.end(), argv.begin(), argv.end());
  std::vector<char*> arguments;
  arguments.reserve(call.size() + 1);
  for (std::string& one : call) arguments.push_back(one.data());
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  return fail_errno(call[0], "starting it").value();
}

}  // namespace lab
