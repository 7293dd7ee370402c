#include "vpn/daemon/state_file.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vpn::daemon {
namespace {

constexpr char kFolder[] = "/var/lib/vpn";
constexpr size_t kHexBytes = 2 * sizeof(StateFile::Stamp);

}  // namespace

StateFile::StateFile(const std::string& interface)
    : path_(std::string(kFolder) + "/" + interface + ".state") {
  mkdir(kFolder, 0700);
  fd_ = io::UniqueFd(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  // Another network namespace may have an interface of the same name.
  if (fd_.is_open() && flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) fd_.reset();
}

StateFile::~StateFile() {
  struct stat status {};
  if (is_kept() && fstat(fd_.get(), &status) == 0 && status.st_size == 0) unlink(path_.c_str());
}

std::string StateFile::to_text(const Stamp& stamp) {
  std::string text(kHexBytes + 1, '\0');  // sodium_bin2hex ends it with one
  sodium_bin2hex(text.data(), text.size(), stamp.data(), stamp.size());
  text.back() = '\n';
  return text;
}

std::optional<StateFile::Stamp> StateFile::parse(std::string_view text) noexcept {
  Stamp stamp{};
  size_t bytes = 0;
  if (text.size() < kHexBytes ||
      sodium_hex2bin(stamp.data(), stamp.size(), text.data(), kHexBytes, nullptr, &bytes, nullptr) != 0) {
    return std::nullopt;
  }
  return bytes == stamp.size() ? std::optional(stamp) : std::nullopt;
}

std::optional<StateFile::Stamp> StateFile::read() const {
  std::array<char, kHexBytes> text{};
  if (!is_kept()) return std::nullopt;
  const ssize_t got = pread(fd_.get(), text.data(), text.size(), 0);
  return got < 0 ? std::nullopt : parse({text.data(), static_cast<size_t>(got)});
}

void StateFile::write(const Stamp& stamp) noexcept {
  if (!is_kept() || stamp == written_) return;
  written_ = stamp;
  const std::string text = to_text(stamp);
  [[maybe_unused]] const ssize_t put = pwrite(fd_.get(), text.data(), text.size(), 0);
}

}  // namespace vpn::daemon
