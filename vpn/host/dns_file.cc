#include "vpn/host/dns_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <system_error>

#include "vpn/host/fault_point.h"
#include "vpn/io/unique_fd.h"

namespace vpn::host {
namespace {

// FNV-1a: only tells an edited file from ours.
std::string sum_of(const std::string& text) {
  uint64_t sum = 0xcbf29ce484222325;
  for (const char byte : text) sum = (sum ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  char hex[17];
  std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(sum));
  return hex;
}

constexpr char kMadeBy[] = "# Made by vpn for ";

// By its first line we know a file of ours again, and whether somebody has changed it since.
std::string with_first_line(const std::string& interface, const std::string& body) {
  return kMadeBy + interface + "; 'vpn down " + interface + "' puts back what was here before. " +
         sum_of(body) + "\n" + body;
}

std::string contents(const std::string& interface, const SetDns& dns, const std::string& former) {
  std::string text = dns.servers.empty() ? former : "";
  if (!text.empty() && text.back() != '\n') text += "\n";
  for (const IpAddress& server : dns.servers) text += "nameserver " + server.to_string() + "\n";
  std::string search;
  for (const std::string& domain : dns.search) search += " " + domain;
  if (!search.empty()) text += "search" + search + "\n";  // the last in a file is the one that counts
  return with_first_line(interface, text);
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool is_made_for(const std::string& interface, const std::string& text) {
  const size_t end = text.find('\n');
  return end != std::string::npos && text == with_first_line(interface, text.substr(end + 1));
}

bool exists(const std::string& path) noexcept {
  struct stat status {};
  return lstat(path.c_str(), &status) == 0;
}

std::string folder_of(const std::string& path) {
  return path.substr(0, path.rfind('/') + 1);
}

void sync_folder(const std::string& path) noexcept {
  const io::UniqueFd folder(open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  static_cast<void>(fsync(folder.get()));
}

bool write_whole(const std::string& path, const std::string& text) noexcept {
  const io::UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.is_open() || fchmod(file.get(), 0644) != 0) return false;
  return write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
         fsync(file.get()) == 0;
}

// Stands for "there was no file".
constexpr char kAbsent[] = ".absent";

}  // namespace

DnsFile::DnsFile(const std::string& interface, std::string path)
    : interface_(interface), path_(std::move(path)), former_(path_ + ".before-" + interface) {}

Error DnsFile::failed(const std::string& what, int error_number) const {
  std::string remedy = "make " + folder_of(path_) + " writable, or take DNS out of the configuration";
  if (error_number == EBUSY)
    remedy = "it is mounted by itself, as containers do: set the name servers there, and take DNS out";
  return {path_, 0, "", what + ": " + std::generic_category().message(error_number), std::move(remedy)};
}

bool DnsFile::is_replaced() const noexcept {
  return exists(former_) || exists(former_ + kAbsent);
}

Result<bool, Error> DnsFile::may_replace() const {
  const std::string text = read_text(path_);
  if (text.starts_with(kMadeBy) && !is_made_for(interface_, text)) {
    const std::string line = text.substr(0, text.find(';'));
    return fail(Error{path_, 0, "", "another tunnel has set the name servers (" + line.substr(2) + ")",
                      "take that one down, or DNS out of one of the two"});
  }
  const std::string probe = path_ + ".probe-" + interface_;
  const bool written = write_whole(probe, "");
  const int error_number = errno;
  unlink(probe.c_str());
  if (!written) return fail(failed("cannot be replaced", error_number));
  // A file that is a mount point of its own cannot be renamed over; nor can it be renamed.
  struct statx file {};
  if (statx(AT_FDCWD, path_.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &file) == 0 &&
      (file.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) {
    return fail(failed("cannot be replaced", EBUSY));
  }
  return true;
}

Result<bool, Error> DnsFile::replace(const SetDns& dns) const {
  const std::string ours = path_ + ".new-" + interface_;
  const bool is_first = !is_replaced();
  if (is_first) {
    const bool kept = exists(path_) ? linkat(AT_FDCWD, path_.c_str(), AT_FDCWD, former_.c_str(), 0) == 0
                                    : write_whole(former_ + kAbsent, "");
    if (!kept) return fail(failed("cannot be kept", errno));
    sync_folder(path_);
  }
  fault_point();
  if (!write_whole(ours, contents(interface_, dns, read_text(former_))) ||
      rename(ours.c_str(), path_.c_str()) != 0) {
    const int error_number = errno;
    unlink(ours.c_str());
    if (is_first) static_cast<void>(restore());
    return fail(failed("cannot be replaced", error_number));
  }
  sync_folder(path_);
  return true;
}

Result<bool, Error> DnsFile::restore() const {
  unlink((path_ + ".new-" + interface_).c_str());
  if (!is_replaced()) return true;
  struct stat now {};
  struct stat then {};
  const bool had_none = exists(former_ + kAbsent);
  const bool is_untouched = !had_none && lstat(path_.c_str(), &now) == 0 &&
                            lstat(former_.c_str(), &then) == 0 && now.st_ino == then.st_ino &&
                            now.st_dev == then.st_dev;
  const bool is_ours = is_made_for(interface_, read_text(path_));
  bool done = false;
  if (is_untouched || !is_ours) {
    // We never came to replace it; or somebody else has since.
    done = unlink((had_none ? former_ + kAbsent : former_).c_str()) == 0;
  } else if (had_none) {
    done = unlink(path_.c_str()) == 0 && unlink((former_ + kAbsent).c_str()) == 0;
  } else {
    done = rename(former_.c_str(), path_.c_str()) == 0;
  }
  if (!done) return fail(failed("cannot be put back", errno));
  sync_folder(path_);
  return is_ours || is_untouched || (had_none && !exists(path_));
}

}  // namespace vpn::host
