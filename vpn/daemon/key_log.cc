#include "vpn/daemon/key_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <system_error>

#include "vpn/config/text.h"

namespace vpn::daemon {
namespace {

constexpr size_t kLongestEntry = 512;  // four lines

void add_line(std::string& text, std::string_view name, std::span<const uint8_t, 32> key) {
  std::string value = config::to_base64(key);
  text.append(name).append("=").append(value).append("\n");
  wipe({reinterpret_cast<uint8_t*>(value.data()), value.size()});
}

}  // namespace

Result<KeyLog, Error> KeyLog::open(const std::string& path) {
  constexpr char kOption[] = "--key-log";
  io::UniqueFd file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  if (!file.is_open()) {
    return fail(Error{path, 0, kOption, "cannot be opened: " + std::generic_category().message(errno),
                      "name a file that can be written"});
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(Error{path, 0, kOption, "not a regular file", "name a new file"});
  }
  if (status.st_uid != ::geteuid() || (status.st_mode & 077) != 0) {
    return fail(Error{path, 0, kOption, "others may read it, and with it the tunnel's traffic",
                      "chmod 0600 it, or name a new file"});
  }
  return KeyLog(std::move(file));
}

bool KeyLog::add(const Secret<32>& local_static, const PublicKey& remote_static, const Secret<32>& ephemeral,
                 const Secret<32>& preshared_key) {
  std::string text;
  text.reserve(kLongestEntry);  // so that growing leaves no copies behind
  add_line(text, "LOCAL_STATIC_PRIVATE_KEY", local_static.view());
  add_line(text, "REMOTE_STATIC_PUBLIC_KEY", remote_static.bytes);
  add_line(text, "LOCAL_EPHEMERAL_PRIVATE_KEY", ephemeral.view());
  // Wireshark takes it for the session of the ephemeral key before it.
  if (!preshared_key.is_zero()) add_line(text, "PRESHARED_KEY", preshared_key.view());
  const ssize_t written = ::write(file_.get(), text.data(), text.size());
  const bool whole = written == static_cast<ssize_t>(text.size());
  wipe({reinterpret_cast<uint8_t*>(text.data()), text.size()});
  return whole;
}

}  // namespace vpn::daemon
