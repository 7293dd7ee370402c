#include "lab/run/host.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "lab/kernel/namespaces.h"

namespace lab {
namespace {

constexpr char kVpnState[] = "/var/lib/vpn";

std::string directory_of(const std::string& host) {
  return "hosts/" + host;
}

// Each host sees changes of its own in /etc, as a machine does: an overlay, or, where the kernel or the user
// may not have one, the given files alone.
Result<void> mount_etc(const std::string& base, bool rootless,
                       const std::vector<std::pair<std::string, std::string>>& files) {
  const std::string options = "lowerdir=/etc,upperdir=" + base + "/etc,workdir=" + base + "/etc.work" +
                              (rootless ? ",userxattr" : "");
  if (::mount("overlay", "/etc", "overlay", 0, options.c_str()) == 0) return {};
  for (const auto& [name, content] : files) {
    std::string from = base;
    from.append("/etc/").append(name);
    const std::string to = "/etc/" + name;
    if (::mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) != 0 && errno != ENOENT) {
      return fail_errno(to, "mounting the host's own");
    }
  }
  return {};
}

// What our daemons keep of an interface, its greatest timestamp, is each host's own: they are as good as
// different machines, whose interfaces may have one name. A user who cannot make the folder has none to
// share.
Result<void> mount_state(const std::string& base) {
  ::mkdir(kVpnState, 0700);
  if (::mount((base + "/vpn-state").c_str(), kVpnState, nullptr, MS_BIND, nullptr) != 0 && errno != ENOENT)
    return fail_errno(kVpnState, "mounting the host's own");
  return {};
}

Result<void> make_host(const StateDirectory& state, const std::string& name, bool rootless,
                       const std::vector<std::pair<std::string, std::string>>& files) {
  if (::unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS) != 0)
    return fail_errno(name, "making its namespaces");
  if (::sethostname(name.data(), name.size()) != 0) return fail_errno(name, "setting the host name");
  if (auto mounted = mount_sysfs(); !mounted) return mounted;
  const std::string base = state.file(directory_of(name));
  if (auto mounted = mount_etc(base, rootless, files); !mounted) return mounted;
  if (auto mounted = mount_state(base); !mounted) return mounted;
  if (::mount((base + "/run").c_str(), "/run", nullptr, MS_BIND, nullptr) != 0)
    return fail_errno(name, "mounting /run");
  return {};
}

[[noreturn]] void hold() {
  ::prctl(PR_SET_NAME, "lab-host");
  for (;;) ::pause();
}

}  // namespace

Result<HostNamespace> HostNamespace::start(
    const StateDirectory& state, const std::string& name, bool rootless,
    const std::vector<std::pair<std::string, std::string>>& etc_files) {
  HostNamespace host;
  host.name_ = name;
  for (const char* part : {"/run", "/run/wireguard", "/run/netns", "/etc", "/etc.work", "/vpn-state"}) {
    if (auto made = state.make_directory(directory_of(name) + part); !made) return fail(made.error());
  }
  for (const auto& [file, content] : etc_files) {
    if (auto done = write_file(state.file(directory_of(name) + "/etc/" + file), content); !done)
      return fail(done.error());
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(name, "making a pipe");
  host.report_ = UniqueFd(ends[0]);
  UniqueFd report(ends[1]);
  host.holder_ = ::fork();
  if (host.holder_ < 0) return fail_errno(name, "forking");
  if (host.holder_ == 0) {
    sigset_t none;
    sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
    if (auto made = make_host(state, name, rootless, etc_files); !made) {
      const std::string text = made.error().to_string();
      (void)!::write(report.get(), text.data(), text.size());
      ::_exit(1);
    }
    ::close_range(3, ~0U, 0);
    hold();
  }
  return host;
}

Result<void> HostNamespace::ready() {
  const auto answer = read_until(report_, "host " + name_, "\n");
  if (!answer) return fail(answer.error());
  report_.reset();
  if (!answer->empty()) return fail("host " + name_, *answer);
  auto network = open_network_namespace(holder_);
  if (!network) return fail(network.error());
  network_ = std::move(*network);
  auto scope = NetworkNamespaceScope::enter(network_);
  if (!scope) return fail(scope.error());
  auto netlink = Netlink::open();
  if (!netlink) return fail(netlink.error());
  netlink_ = std::move(*netlink);
  return {};
}

Result<pid_t> HostNamespace::spawn(const std::vector<std::string>& argv, const std::string& log) const {
  const UniqueFd output(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!output.is_open()) return fail_errno(log, "opening the log");
  std::vector<char*> arguments;
  arguments.reserve(argv.size() + 1);
  for (const std::string& one : argv) arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(name_, "making a pipe");
  const UniqueFd outcome(ends[0]);
  UniqueFd failed(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(name_, "forking");
  if (child == 0) {
    sigset_t none;
    sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::setsid();
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    ::dup2(null.get(), 0);
    ::dup2(output.get(), 1);
    ::dup2(output.get(), 2);
    if (join_namespaces_of(holder_)) {
      (void)!::chdir("/");
      ::execvp(arguments[0], arguments.data());
    }
    const int code = errno;
    (void)!::write(failed.get(), &code, sizeof code);
    ::_exit(127);
  }
  failed.reset();
  int code = 0;
  if (::read(outcome.get(), &code, sizeof code) == sizeof code) {
    errno = code;
    return fail_errno("host " + name_, "starting " + argv[0], "install it, or name another program");
  }
  return child;
}

}  // namespace lab
