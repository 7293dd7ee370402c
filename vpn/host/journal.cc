#include "vpn/host/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <thread>

namespace vpn::host {
namespace {

constexpr char kFolder[] = "/run/vpn";
constexpr char kSuffix[] = ".journal";
constexpr char kNamespaceMark = '@';  // no interface's name has one
// Lines that may come to those that count before the file is made anew.
constexpr size_t kMostAppended = 256;

std::string error_text(int error_number) {
  return std::generic_category().message(error_number);
}

// The kernel gives the inode of a namespace that is gone to the next one, and a journal may outlive its
// namespace: only the cookie (Linux 5.14) is never used again.
uint64_t network_namespace() noexcept {
  const io::UniqueFd probe(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (probe.is_open() && getsockopt(probe.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) == 0)
    return cookie;
  struct stat status {};
  return stat("/proc/self/ns/net", &status) == 0 ? status.st_ino : 0;
}

std::string read_all(int file) {
  std::string text;
  std::array<char, 16384> bytes;
  ssize_t got = 0;
  while ((got = pread(file, bytes.data(), bytes.size(), static_cast<off_t>(text.size()))) > 0) {
    text.append(bytes.data(), static_cast<size_t>(got));
  }
  return text;
}

std::string read_file(const std::string& path) {
  const io::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  return file.is_open() ? read_all(file.get()) : "";
}

// The interface of a journal's file. Versions before this one named no namespace: there the text tells it.
std::string interface_of(const std::filesystem::path& path) {
  const std::string stem = path.stem();
  return stem.substr(0, stem.find(kNamespaceMark));
}
bool is_of_this_namespace(const std::filesystem::path& path) {
  const std::string stem = path.stem();
  const size_t mark = stem.find(kNamespaceMark);
  if (mark != std::string::npos) return stem.substr(mark + 1) == std::to_string(network_namespace());
  return network_namespace_of(read_file(path)).value_or(network_namespace()) == network_namespace();
}

std::string path_of(const std::string& interface) {
  const std::string path = std::string(kFolder) + "/" + interface;
  if (access((path + kSuffix).c_str(), F_OK) == 0 && is_of_this_namespace(path + kSuffix))
    return path + kSuffix;
  return path + kNamespaceMark + std::to_string(network_namespace()) + kSuffix;
}

std::vector<std::filesystem::path> all_files() {
  std::vector<std::filesystem::path> paths;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder, ignored)) {
    if (entry.path().extension() == kSuffix) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool is_file_locked(const std::string& path) noexcept {
  const io::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  return file.is_open() && flock(file.get(), LOCK_SH | LOCK_NB) != 0;
}

// Who else may write in the folder decides what we undo as root.
Result<bool, Error> make_folder() {
  mkdir(kFolder, 0755);
  struct stat status {};
  if (lstat(kFolder, &status) != 0)
    return fail(Error{kFolder, 0, "", "cannot be made: " + error_text(errno), "run as root"});
  const bool is_owners = status.st_uid == 0 || status.st_uid == geteuid();
  if (S_ISDIR(status.st_mode) && is_owners && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0) return true;
  return fail(Error{kFolder, 0, "", "others than root may write there, and so say what is undone",
                    "remove it, after a look at what is in it"});
}

// Whether the path still leads to the open file: who held the lock before us may have removed it.
bool is_at(const std::string& path, const io::UniqueFd& file) noexcept {
  struct stat here {};
  struct stat there {};
  return fstat(file.get(), &here) == 0 && stat(path.c_str(), &there) == 0 && here.st_ino == there.st_ino &&
         here.st_dev == there.st_dev;
}

// On disk when it returns.
bool write_all(int file, const std::string& text) noexcept {
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t put = write(file, text.data() + written, text.size() - written);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    written += static_cast<size_t>(put);
  }
  return fsync(file) == 0;
}

std::string replacement_of(const std::string& path) {
  return path + ".new";
}

}  // namespace

std::vector<std::string> Journal::interfaces() {
  std::vector<std::string> names;
  for (const auto& path : all_files()) {
    if (is_of_this_namespace(path)) names.push_back(interface_of(path));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::vector<std::string> Journal::files_of_other_namespaces() {
  std::vector<std::string> files;
  for (const auto& path : all_files()) {
    if (!is_of_this_namespace(path) && !is_file_locked(path)) files.push_back(path);
  }
  return files;
}

bool Journal::is_locked(const std::string& interface) noexcept {
  return is_file_locked(path_of(interface));
}

bool Journal::is_locked_elsewhere(const std::string& interface) {
  const auto files = all_files();
  return std::any_of(files.begin(), files.end(), [&](const auto& path) {
    return interface_of(path) == interface && !is_of_this_namespace(path) && is_file_locked(path);
  });
}

Result<Journal, Error> Journal::open(const std::string& interface, std::chrono::milliseconds patience) {
  if (auto made = make_folder(); !made) return fail(std::move(made.error()));
  return open_file(path_of(interface), interface, patience);
}

Result<Journal, Error> Journal::open_file(const std::string& path, const std::string& interface,
                                          std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (true) {
    io::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.is_open()) {
      return fail(Error{path, 0, "", "cannot be written: " + error_text(errno),
                        errno == ELOOP ? "remove the symbolic link" : "run as root"});
    }
    if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        continue;
      }
      return fail(Error{path, 0, "", "a running daemon has it",
                        "use 'vpn down " + interface + "', once it has started"});
    }
    if (!is_at(path, file)) continue;
    Journal journal(path, std::move(file));
    if (auto read = journal.read(interface); !read) return fail(std::move(read.error()));
    return journal;
  }
}

Result<bool, Error> Journal::read(const std::string& interface) {
  const std::string text = read_all(file_.get());
  const size_t whole = text.rfind('\n') + 1;  // 0 where there is no whole line
  if (whole < text.size() && ftruncate(file_.get(), static_cast<off_t>(whole)) != 0) {
    return fail(Error{path_, 0, "", "cannot be mended: " + error_text(errno), "remove it"});
  }
  if (whole == 0) {
    header_ = journal_header(interface, network_namespace());
    if (append(header_)) return true;
    return fail(Error{path_, 0, "", "cannot be written: " + error_text(errno), "make room in /run"});
  }
  auto contents = read_journal(std::string_view(text).substr(0, whole), path_, network_namespace());
  if (!contents) return fail(std::move(contents.error()));
  contents_ = std::move(*contents);
  header_ = text.substr(0, text.find('\n') + 1);
  for (const JournalEntry& entry : contents_.standing) lines_[entry.id] = announcement_line(entry);
  appended_count_ = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  return true;
}

std::vector<JournalEntry> Journal::standing(const std::string& interface) {
  const std::string path = path_of(interface);
  const std::string text = read_file(path);
  const auto whole = std::string_view(text).substr(0, text.rfind('\n') + 1);
  auto contents = read_journal(whole, path, network_namespace());
  if (!contents) return {};
  return std::move(contents->standing);
}

// Of what could not be written nothing stays: the next line would join half a one, and be lost with it.
bool Journal::append(const std::string& text) noexcept {
  struct stat before {};
  const bool is_known = fstat(file_.get(), &before) == 0;
  if (is_known && write_all(file_.get(), text)) {
    appended_count_ += static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
    return true;
  }
  const int error_number = errno;
  [[maybe_unused]] const int mended = is_known ? ftruncate(file_.get(), before.st_size) : -1;
  errno = error_number;
  return false;
}

// Whoever looks meanwhile finds the one file or the other, each whole, and each with our lock on it.
void Journal::compact_when_long() noexcept {
  const size_t counting = lines_.size() + contents_.addresses.size();
  if (appended_count_ < kMostAppended + 2 * counting) return;
  appended_count_ = 0;  // also where it fails: it is tried again as much later
  std::string text = header_;
  for (const auto& [id, line] : lines_) text += line;
  for (const auto& [name, address] : contents_.addresses) text += address_line(name, address);
  const std::string path = replacement_of(path_);
  io::UniqueFd file(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.is_open() || flock(file.get(), LOCK_EX | LOCK_NB) != 0) return;
  if (write_all(file.get(), text) && rename(path.c_str(), path_.c_str()) == 0) {
    file_ = std::move(file);
  } else {
    unlink(path.c_str());
  }
}

Result<bool, Error> Journal::announce(std::vector<JournalEntry>& entries) {
  compact_when_long();
  std::string text;
  std::map<uint64_t, std::string> lines;
  for (JournalEntry& entry : entries) {
    if (std::holds_alternative<AddAddress>(entry.change)) continue;
    entry.id = ++contents_.last_id;
    text += lines[entry.id] = announcement_line(entry);
  }
  if (text.empty() || append(text)) {
    lines_.merge(lines);
    return true;
  }
  return fail(Error{path_, 0, "", "cannot be written: " + error_text(errno), "make room in /run"});
}

void Journal::note_undone(uint64_t id) noexcept {
  // Undoing again what is undone does no harm, so that a failure here may pass.
  if (id == 0) return;
  lines_.erase(id);
  static_cast<void>(append(undone_line(id)));
}

void Journal::note_addresses(const std::map<std::string, std::string>& addresses) noexcept {
  std::string text;
  for (const auto& [name, its] : addresses) {
    if (std::exchange(contents_.addresses[name], its) != its) text += address_line(name, its);
  }
  if (text.empty()) return;
  compact_when_long();
  static_cast<void>(append(text));
}

void Journal::remove() noexcept {
  unlink(replacement_of(path_).c_str());  // of one that a crash cut short
  if (unlink(path_.c_str()) == 0) {
    static_cast<void>(rmdir(std::filesystem::path(path_).parent_path().c_str()));  // the last one takes it
  } else {
    [[maybe_unused]] const int emptied = ftruncate(file_.get(), 0);
  }
}

}  // namespace vpn::host
