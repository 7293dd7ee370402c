#include "vpn/host/dns_resolvconf.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <vector>

#include "vpn/io/process.h"
#include "vpn/io/unique_fd.h"

namespace vpn::host {
namespace {

constexpr char kProgram[] = "resolvconf";

Result<bool, Error> run(std::vector<std::string> arguments, const std::string& input) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail(Error{kProgram, 0, "", "no pipe", ""});
  io::UniqueFd reading(ends[0]);
  io::UniqueFd writing(ends[1]);
  // A few lines fit a pipe before anybody reads.
  const bool put = write(writing.get(), input.data(), input.size()) == static_cast<ssize_t>(input.size());
  writing.reset();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, reading.get(), STDIN_FILENO);
  const io::SpawnAttributes attributes;
  std::vector<char*> words;
  words.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  pid_t child = 0;
  const int spawned = posix_spawnp(&child, kProgram, &actions, attributes.get(), words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = -1;
  if (spawned == 0) {
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
  }
  if (put && spawned == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  const std::string how =
      spawned != 0 ? std::generic_category().message(spawned) : "status " + std::to_string(status);
  return fail(Error{kProgram, 0, "", "failed: " + how, "run '" + arguments[0] + "' by hand to see why"});
}

}  // namespace

namespace {

// Only Debian's has it. That one keeps a file in /run, to which /etc/resolv.conf must be a link.
constexpr char kDebians[] = "/lib/resolvconf/list-records";
constexpr char kDebiansFile[] = "/run/resolvconf/resolv.conf";
constexpr char kDebiansUpdates[] = "/run/resolvconf/enable-updates";

bool is_in_charge() {
  if (access(kDebians, F_OK) != 0) return true;
  std::error_code ignored;
  const auto file = std::filesystem::weakly_canonical("/etc/resolv.conf", ignored);
  return file == std::filesystem::weakly_canonical(kDebiansFile, ignored) &&
         access(kDebiansUpdates, F_OK) == 0;
}

// Debian's resolvconf knows no metric: what it puts first it tells by the record's name, and by the file that
// has the first names first. As wg-quick does, the record is called after the first kind of interface in
// there of which any name will do ("tun*").
std::string record_of(const std::string& interface) {
  std::ifstream order("/etc/resolvconf/interface-order");
  std::string line;
  while (std::getline(order, line)) {
    if (line.size() < 2 || line.back() != '*') continue;
    line.pop_back();
    const auto is_plain = [](unsigned char byte) { return std::isalnum(byte) != 0 || byte == '-'; };
    if (std::all_of(line.begin(), line.end(), is_plain)) return line.append(".").append(interface);
  }
  return interface;
}

}  // namespace

bool has_resolvconf() {
  if (!is_in_charge()) return false;
  const char* const path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): nothing sets it
  std::istringstream folders(path == nullptr ? "/usr/sbin:/usr/bin:/sbin:/bin" : path);
  std::string folder;
  while (std::getline(folders, folder, ':')) {
    const std::string program = folder + "/" + kProgram;
    std::error_code ignored;
    if (access(program.c_str(), X_OK) == 0)
      return std::filesystem::weakly_canonical(program, ignored).filename() != "resolvectl";
  }
  return false;
}

Result<bool, Error> add_to_resolvconf(const std::string& interface, const SetDns& dns) {
  std::string input;
  for (const IpAddress& server : dns.servers) input += "nameserver " + server.to_string() + "\n";
  for (const std::string& domain : dns.search) input += "search " + domain + "\n";
  // First in order, and alone where resolvconf knows how.
  std::vector<std::string> words{kProgram, "-a", record_of(interface), "-m", "0"};
  if (dns.everything) words.emplace_back("-x");
  return run(std::move(words), input);
}

Result<bool, Error> remove_from_resolvconf(const std::string& interface) {
  return run({kProgram, "-d", record_of(interface), "-f"}, "");
}

}  // namespace vpn::host
