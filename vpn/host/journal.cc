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
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>
#include <thread>

namespace vpn::host {
namespace {

using nlohmann::json;

constexpr char kFolder[] = "/run/vpn";
constexpr char kSuffix[] = ".journal";

std::string path_of(const std::string& interface) {
  return std::string(kFolder) + "/" + interface + kSuffix;
}

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

json to_json(const HostChange& change) {
  if (const auto* add = std::get_if<AddRoute>(&change)) {
    return {{"kind", "route"},
            {"destination", add->destination.to_string()},
            {"table", add->table},
            {"route", add->kind}};
  }
  if (const auto* add = std::get_if<AddMarkRule>(&change)) {
    return {{"kind", "rule"},
            {"family", add->family},
            {"mark", add->mark},
            {"table", add->table},
            {"inverted", add->inverted}};
  }
  if (const auto* set = std::get_if<SetSysctl>(&change)) {
    return {{"kind", "sysctl"}, {"name", set->name}, {"value", set->value}};
  }
  if (const auto* set = std::get_if<SetFirewall>(&change)) {
    json addresses = json::array();
    for (const IpAddress& address : set->spec.own_addresses) addresses.push_back(address.to_string());
    return {{"kind", "firewall"},
            {"interface", set->spec.interface},
            {"kill_switch", set->spec.kill_switch},
            {"addresses", addresses}};
  }
  if (std::holds_alternative<SetDns>(change)) return {{"kind", "dns"}};
  return nullptr;  // an address ends with the interface
}

std::optional<HostChange> change_of(const json& object) {
  const std::string kind = object.at("kind");
  if (kind == "route") {
    const auto destination = IpPrefix::parse(object.at("destination").get<std::string>());
    if (!destination) return std::nullopt;
    return AddRoute{*destination, object.at("table"), object.at("route")};
  }
  if (kind == "rule") {
    return AddMarkRule{object.at("family"), object.at("mark"), object.at("table"), object.at("inverted")};
  }
  if (kind == "sysctl") return SetSysctl{object.at("name"), object.at("value")};
  if (kind == "dns") return SetDns{};
  if (kind != "firewall") return std::nullopt;
  SetFirewall firewall;
  firewall.spec.interface = object.at("interface");
  firewall.spec.kill_switch = object.at("kill_switch");
  for (const std::string address : object.value("addresses", json::array())) {
    if (const auto parsed = IpAddress::parse(address)) firewall.spec.own_addresses.push_back(*parsed);
  }
  return firewall;
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

// Whether the path still leads to the open file: who held the lock before us may have removed it.
bool is_at(const std::string& path, const io::UniqueFd& file) noexcept {
  struct stat here {};
  struct stat there {};
  return fstat(file.get(), &here) == 0 && stat(path.c_str(), &there) == 0 && here.st_ino == there.st_ino &&
         here.st_dev == there.st_dev;
}

}  // namespace

std::vector<std::string> Journal::interfaces() {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder, ignored)) {
    if (entry.path().extension() == kSuffix) names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool Journal::is_locked(const std::string& interface) noexcept {
  const io::UniqueFd file(::open(path_of(interface).c_str(), O_RDONLY | O_CLOEXEC));
  return file.is_open() && flock(file.get(), LOCK_SH | LOCK_NB) != 0;
}

Result<Journal, Error> Journal::open(const std::string& interface, std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  mkdir(kFolder, 0755);
  const std::string path = path_of(interface);
  while (true) {
    io::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (!file.is_open()) {
      return fail(Error{path, 0, "", "cannot be written: " + error_text(errno), "run as root"});
    }
    if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        continue;
      }
      return fail(Error{path, 0, "", "a running daemon has it", "use 'vpn down " + interface + "'"});
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
    const json header = {{"interface", interface}, {"network_namespace", network_namespace()}};
    if (append(header.dump() + "\n")) return true;
    return fail(Error{path_, 0, "", "cannot be written: " + error_text(errno), "make room in /run"});
  }
  return take_lines(text.substr(0, whole));
}

Result<bool, Error> Journal::take_lines(const std::string& text) {
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    try {
      const json object = json::parse(line);
      if (number == 1 && object.at("network_namespace").get<uint64_t>() != network_namespace()) {
        return fail(Error{path_, 0, "", "tells of another network namespace",
                          "run this in that namespace, or remove the file if that is gone"});
      }
      if (object.contains("undone")) {
        const uint64_t id = object.at("undone");
        std::erase_if(found_, [id](const JournalEntry& entry) { return entry.id == id; });
      } else if (object.contains("name") && object.contains("address")) {
        addresses_[object.at("name")] = object.at("address");
      } else if (object.contains("id")) {
        last_id_ = std::max(last_id_, object.at("id").get<uint64_t>());
        if (auto change = change_of(object))
          found_.push_back({object.at("id"), std::move(*change), object.at("former")});
      }
    } catch (const json::exception&) {
      return fail(Error{path_, number, "", "is damaged", "undo by hand what it tells of, and remove it"});
    }
  }
  return true;
}

std::vector<JournalEntry> Journal::standing(const std::string& interface) {
  const std::string path = path_of(interface);
  Journal journal(path, io::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)));
  const std::string text = journal.file_.is_open() ? read_all(journal.file_.get()) : "";
  if (!journal.take_lines(text.substr(0, text.rfind('\n') + 1))) return {};
  return std::move(journal.found_);
}

bool Journal::append(const std::string& text) noexcept {
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t put = write(file_.get(), text.data() + written, text.size() - written);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    written += static_cast<size_t>(put);
  }
  return fsync(file_.get()) == 0;
}

Result<bool, Error> Journal::announce(std::vector<JournalEntry>& entries) {
  std::string text;
  for (JournalEntry& entry : entries) {
    json object = to_json(entry.change);
    if (object.is_null()) continue;
    entry.id = ++last_id_;
    object["id"] = entry.id;
    object["former"] = entry.former;
    text += object.dump() + "\n";
  }
  if (text.empty() || append(text)) return true;
  return fail(Error{path_, 0, "", "cannot be written: " + error_text(errno), "make room in /run"});
}

void Journal::note_undone(uint64_t id) noexcept {
  // Undoing again what is undone does no harm, so that a failure here may pass.
  if (id != 0) static_cast<void>(append(json{{"undone", id}}.dump() + "\n"));
}

void Journal::note_address(const std::string& name, const std::string& address) noexcept {
  if (std::exchange(addresses_[name], address) == address) return;
  static_cast<void>(append(json{{"name", name}, {"address", address}}.dump() + "\n"));
}

void Journal::remove() noexcept {
  if (unlink(path_.c_str()) == 0) {
    static_cast<void>(rmdir(kFolder));  // the last one takes the folder along
  } else {
    [[maybe_unused]] const int emptied = ftruncate(file_.get(), 0);
  }
}

}  // namespace vpn::host
