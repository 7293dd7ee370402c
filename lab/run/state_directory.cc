#include "lab/run/state_directory.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <thread>

#include "lab/kernel/namespaces.h"
#include "lab/topology/topology.h"

namespace lab {
namespace {

constexpr std::chrono::seconds kAnswerWait{10};
constexpr const char* kSeeWhetherItLives = "see 'lab status' for what runs, and the logs beside it";
constexpr size_t kLongestAnswer = size_t{16} << 20;
constexpr std::chrono::milliseconds kClaimPoll{2};
// The first file that a lab has and the last that goes: what tells its directory from others.
constexpr const char* kFirstFile = "keeper.log";

// The path of a socket by way of its directory's descriptor, for sockaddr_un holds 107 characters only. The
// descriptor must stay open as long as the path is used.
Result<sockaddr_un> short_address(const std::string& path, UniqueFd& directory) {
  const size_t slash = path.rfind('/');
  directory = UniqueFd(::open(path.substr(0, slash).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) return fail_errno(path, "opening its directory");
  const std::string shorter = "/proc/self/fd/" + std::to_string(directory.get()) + path.substr(slash);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (shorter.size() >= sizeof address.sun_path) return fail(path, "the name of the socket is too long");
  std::memcpy(address.sun_path, shorter.data(), shorter.size());
  return address;
}

struct ProcessStat {
  bool ended = false;    // a zombie: of a PID namespace's first process that means that all others are gone
  bool exiting = false;  // killed: the first process of a PID namespace waits here for all others to go
  uint64_t start_ticks = 0;
};

std::optional<ProcessStat> read_stat(pid_t pid) {
  const auto text = read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!text) return std::nullopt;
  // The name in parentheses may hold anything; the fields after it do not.
  const size_t name_end = text->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text->substr(name_end + 1));
  std::string state;
  fields >> state;
  uint64_t flags = 0;  // field 9
  std::string skipped;
  for (int field = 4; field < 22; ++field) field == 9 ? fields >> flags : fields >> skipped;
  ProcessStat stat;
  constexpr uint64_t kExiting = 0x4;  // PF_EXITING
  stat.ended = state == "Z" || state == "X";
  stat.exiting = (flags & kExiting) != 0;
  if (!(fields >> stat.start_ticks)) return std::nullopt;
  return stat;
}

}  // namespace

std::optional<ProcessId> ProcessId::of(pid_t pid) {
  const auto stat = read_stat(pid);
  if (!stat || stat->ended) return std::nullopt;
  return ProcessId{pid, stat->start_ticks};
}

bool ProcessId::is_alive() const {
  const auto stat = read_stat(pid);
  return stat && !stat->ended && !stat->exiting && stat->start_ticks == start_ticks;
}

bool ProcessId::has_ended() const {
  const auto stat = read_stat(pid);
  return !stat || stat->ended || stat->start_ticks != start_ticks;
}

std::string StateDirectory::root() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing changes the environment
  if (const char* given = std::getenv("LAB_STATE"); given != nullptr && *given != '\0') return given;
  if (::geteuid() == 0) return "/run/vpn-lab";
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && *runtime != '\0') {
    return std::string(runtime) + "/vpn-lab";
  }
  return "/tmp/vpn-lab-" + std::to_string(::geteuid());
}

std::vector<std::string> StateDirectory::names() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root(), error)) {
    const std::string name = entry.path().filename();
    if (StateDirectory(name).exists()) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool StateDirectory::exists() const {
  std::error_code error;
  if (!is_valid_name(name_, kLongestName) || !std::filesystem::is_directory(path(), error)) return false;
  return std::filesystem::exists(file(kFirstFile), error) || std::filesystem::is_empty(path(), error);
}

Result<bool> StateDirectory::make() const {
  const auto deadline = std::chrono::steady_clock::now() + kAnswerWait;
  for (;;) {
    // Others must not be able to make us follow their links: the root is ours alone.
    if (::mkdir(root().c_str(), 0700) != 0 && errno != EEXIST) {
      return fail_errno(root(), "making the directory", "name another place by LAB_STATE");
    }
    struct stat owner {};
    const bool looked = ::lstat(root().c_str(), &owner) == 0;
    const bool gone = !looked && errno == ENOENT;
    if (!gone && (!looked || !S_ISDIR(owner.st_mode) || owner.st_uid != ::geteuid())) {
      return fail(root(), "it is not a directory of this user",
                  "remove it, or name another place by LAB_STATE");
    }
    if (!gone && ::mkdir(path().c_str(), 0700) == 0) return true;
    if (errno == EEXIST) return false;
    // Whoever took down the last lab has removed the root in the meantime.
    if (errno != ENOENT || std::chrono::steady_clock::now() >= deadline) {
      return fail_errno(path(), "making the directory", "name another place by LAB_STATE");
    }
  }
}

Result<UniqueFd> StateDirectory::create() const {
  const auto made = make();
  if (!made) return fail(made.error());
  if (!*made && !exists()) {
    return fail(path(), "it is in the way, and no lab's", "choose another --name, or remove it");
  }
  if (!*made) return fail(somebody_at_work());
  auto claimed = claim({});
  if (!claimed) return fail(somebody_at_work());
  return claimed;
}

Error StateDirectory::somebody_at_work() const {
  return {"lab " + name_, "another command is bringing it up or taking it down",
          "wait for that, or choose another --name"};
}

Result<UniqueFd> StateDirectory::claim(std::chrono::milliseconds patience) const {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    UniqueFd directory(::open(path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory.is_open()) return fail_errno(path(), "opening the directory", "see 'lab list'");
    while (::flock(directory.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) return fail_errno(path(), "locking the directory");
      if (std::chrono::steady_clock::now() >= deadline) return fail(somebody_at_work());
      std::this_thread::sleep_for(kClaimPoll);
    }
    // Who had it may have removed it, and another may have made it anew.
    struct stat claimed {};
    struct stat there {};
    if (::fstat(directory.get(), &claimed) != 0) return fail_errno(path(), "looking at the directory");
    if (::stat(path().c_str(), &there) == 0 && there.st_dev == claimed.st_dev &&
        there.st_ino == claimed.st_ino) {
      return directory;
    }
  }
}

Result<void> StateDirectory::make_directory(const std::string& relative) const {
  std::error_code error;
  std::filesystem::create_directories(file(relative), error);
  if (error) return fail(file(relative), "making the directory: " + error.message());
  return {};
}

Result<void> StateDirectory::remove() const {
  std::error_code error;
  // An overlay's work directory may be entered by nobody but root, until its owner says otherwise.
  for (const auto& host : std::filesystem::directory_iterator(file("hosts"), error)) {
    std::filesystem::permissions(host.path() / "etc.work" / "work", std::filesystem::perms::owner_all, error);
  }
  for (const auto& entry : std::filesystem::directory_iterator(path(), error)) {
    if (entry.path().filename() == kFirstFile) continue;
    std::filesystem::remove_all(entry.path(), error);
    if (error) return fail(entry.path(), "removing it: " + error.message(), "remove it by hand");
  }
  std::filesystem::remove_all(path(), error);
  if (error) return fail(path(), "removing it: " + error.message(), "remove it by hand");
  ::rmdir(root().c_str());  // fails, as it should, while other labs are there
  return {};
}

Result<void> StateDirectory::write_keeper(const ProcessId& keeper) const {
  return write_file(file("keeper"),
                    std::to_string(keeper.pid) + " " + std::to_string(keeper.start_ticks) + "\n");
}

std::optional<ProcessId> StateDirectory::keeper() const {
  const auto text = read_file(file("keeper"));
  if (!text) return std::nullopt;
  std::istringstream fields(*text);
  ProcessId id;
  if (!(fields >> id.pid >> id.start_ticks)) return std::nullopt;
  return id;
}

std::optional<ProcessId> StateDirectory::live_keeper() const {
  const auto id = keeper();
  return id && id->is_alive() ? id : std::nullopt;
}

Result<UniqueFd> connect_unix(const std::string& path) {
  UniqueFd directory;
  const auto address = short_address(path, directory);
  if (!address) return fail(address.error());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return fail_errno(path, "making a socket");
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return fail_errno(path, "connecting", kSeeWhetherItLives);
  }
  return socket;
}

Result<UniqueFd> listen_unix(const std::string& path) {
  UniqueFd directory;
  const auto address = short_address(path, directory);
  if (!address) return fail(address.error());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return fail_errno(path, "making a socket");
  const mode_t before = ::umask(0177);
  const int bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
  ::umask(before);
  if (bound != 0 || ::listen(socket.get(), 64) != 0) return fail_errno(path, "listening");
  return socket;
}

Result<std::string> read_until(const UniqueFd& socket, const std::string& where, const std::string& end) {
  const auto deadline = std::chrono::steady_clock::now() + kAnswerWait;
  std::string text;
  while (!text.ends_with(end)) {
    pollfd wait{socket.get(), POLLIN, 0};
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const int ready = left.count() <= 0 ? 0 : ::poll(&wait, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return fail(where, "no answer within ten seconds", kSeeWhetherItLives);
    char buffer[65536];
    const ssize_t count = ::read(socket.get(), buffer, sizeof buffer);
    if (count < 0) return fail_errno(where, "reading an answer", kSeeWhetherItLives);
    if (count == 0) return text;
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > kLongestAnswer) return fail(where, "the answer is longer than any can be");
  }
  return text;
}

Result<void> write_all(const UniqueFd& socket, const std::string& where, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t count = ::send(socket.get(), text.data() + done, text.size() - done, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(where, "writing a request", kSeeWhetherItLives);
    done += static_cast<size_t>(count);
  }
  return {};
}

}  // namespace lab
