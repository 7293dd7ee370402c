#include "vpn/cli/bench_sandbox.h"

#include <fcntl.h>
#include <net/if.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "vpn/host/netlink.h"
#include "vpn/io/system.h"

namespace vpn::cli {
namespace {

constexpr char kRemedy[] =
    "run it as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
    "kernel.apparmor_restrict_unprivileged_userns=0)";
constexpr char kFailureMark[] = "!";  // before a line that says why the work failed

Failure<Error> system_failure(const std::string& where, const std::string& what) {
  return fail(Error{where, 0, "", what + ": " + io::error_text(errno), kRemedy});
}

Result<void, Error> write_text(const char* path, const std::string& text) {
  const io::UniqueFd file(::open(path, O_WRONLY | O_CLOEXEC));
  if (!file.is_open() || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return system_failure(path, "writing it");
  }
  return {};
}

// Namespaces whose first process is the caller's next child.
Result<void, Error> leave_the_machine() {
  const uid_t user = ::geteuid();
  const gid_t group = ::getegid();
  if (user != 0) {
    if (::unshare(CLONE_NEWUSER) != 0) return system_failure("", "making a user namespace");
    if (auto done = write_text("/proc/self/setgroups", "deny"); !done) return done;
    if (auto done = write_text("/proc/self/uid_map", "0 " + std::to_string(user) + " 1"); !done) return done;
    if (auto done = write_text("/proc/self/gid_map", "0 " + std::to_string(group) + " 1"); !done) return done;
  }
  if (::unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) return system_failure("", "making namespaces");
  return {};
}

// Files of the daemons go to memory: nothing of the benchmark appears on the machine.
Result<void, Error> make_mounts() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return system_failure("/", "making mounts private");
  }
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    return system_failure("/proc", "mounting it");
  }
  for (const char* folder : {"/run", "/var/lib"}) {
    if (::mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") != 0) {
      return system_failure(folder, "mounting memory there");
    }
  }
  return {};
}

Result<void, Error> make_veth(int far_network) {
  struct FreeLink {
    void operator()(rtnl_link* link) const { rtnl_link_put(link); }
  };
  struct FreeSocket {
    void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  };
  const std::unique_ptr<nl_sock, FreeSocket> socket(nl_socket_alloc());
  const std::unique_ptr<rtnl_link, FreeLink> link(rtnl_link_veth_alloc());
  rtnl_link_set_name(link.get(), "wire");
  rtnl_link* const far_end = rtnl_link_veth_get_peer(link.get());
  rtnl_link_set_name(far_end, "wire");
  rtnl_link_set_ns_fd(far_end, far_network);
  rtnl_link_put(far_end);
  int outcome = nl_connect(socket.get(), NETLINK_ROUTE);
  if (outcome >= 0) outcome = rtnl_link_add(socket.get(), link.get(), NLM_F_CREATE | NLM_F_EXCL);
  if (outcome >= 0) return {};
  return fail(Error{"", 0, "", std::string("making a veth pair: ") + nl_geterror(outcome), kRemedy});
}

Result<void, Error> set_up_wire(size_t host) {
  auto netlink = host::Netlink::open();
  if (!netlink) return fail(std::move(netlink.error()));
  const unsigned wire = ::if_nametoindex("wire");
  if (auto added = netlink->add_address(wire, {Sandbox::link_address(host), 24}); !added) {
    return fail(std::move(added.error()));
  }
  if (auto up = netlink->set_up(wire); !up) return fail(std::move(up.error()));
  return {};
}

Result<Sandbox, Error> furnish() {
  if (auto mounted = make_mounts(); !mounted) return fail(std::move(mounted.error()));
  Sandbox sandbox;
  for (io::UniqueFd& network : sandbox.networks) {
    if (::unshare(CLONE_NEWNET) != 0) return system_failure("", "making a network namespace");
    network = io::UniqueFd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!network.is_open()) return system_failure("/proc/self/ns/net", "opening it");
  }
  if (auto made = make_veth(sandbox.networks[0].get()); !made) return fail(std::move(made.error()));
  for (size_t host = 0; host < 2; ++host) {
    if (auto up = sandbox.in_host(host, [&] { return set_up_wire(host); }); !up)
      return fail(std::move(up.error()));
  }
  return sandbox;
}

void say_line(int out, const std::string& line) {
  (void)!::write(out, line.data(), line.size());
}

// The first process of the sandbox.
void work_inside(int out, const std::function<Result<void, Error>(const Sandbox&, const Say&)>& work) {
  auto sandbox = furnish();
  Result<void, Error> outcome;
  if (sandbox) {
    outcome = work(*sandbox, [out](const std::string& line) { say_line(out, line); });
  } else {
    outcome = fail(std::move(sandbox.error()));
  }
  if (!outcome) say_line(out, kFailureMark + outcome.error().to_string() + "\n");
}

// Between the caller and the sandbox; its end is the sandbox's.
[[noreturn]] void found(int out, const std::function<Result<void, Error>(const Sandbox&, const Say&)>& work) {
  if (auto left = leave_the_machine(); !left) {
    say_line(out, kFailureMark + left.error().to_string() + "\n");
    ::_exit(1);
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // again: a new user namespace has cleared it
  const pid_t inside = ::fork();
  if (inside == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    work_inside(out, work);
    ::_exit(0);
  }
  int status = 0;
  while (inside > 0 && ::waitpid(inside, &status, 0) < 0 && errno == EINTR) {
  }
  ::_exit(0);
}

}  // namespace

Result<void, Error> Sandbox::in_host(size_t host, const std::function<Result<void, Error>()>& work) const {
  if (::setns(networks[host].get(), CLONE_NEWNET) != 0)
    return system_failure("", "entering a network namespace");
  return work();
}

Result<pid_t, Error> Sandbox::start(size_t host, const std::vector<std::string>& argv,
                                    const std::string& log) const {
  std::vector<char*> arguments;
  for (const std::string& one : argv) arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return system_failure(argv[0], "starting it");
  if (child > 0) return child;
  const io::UniqueFd output(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  ::dup2(output.get(), 1);
  ::dup2(output.get(), 2);
  if (::setns(networks[host].get(), CLONE_NEWNET) == 0) ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

Result<void, Error> run_in_sandbox(const std::function<Result<void, Error>(const Sandbox&, const Say&)>& work,
                                   const std::function<void(const std::string&)>& on_line) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_failure("", "making a pipe");
  const io::UniqueFd heard(ends[0]);
  io::UniqueFd said(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return system_failure("", "forking");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    found(said.get(), work);
  }
  said.reset();
  std::string text;
  std::string problem;
  for (char buffer[4096];;) {
    const ssize_t count = ::read(heard.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(buffer, static_cast<size_t>(count));
    for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
      const std::string line = text.substr(0, end);
      text.erase(0, end + 1);
      if (line.starts_with(kFailureMark)) {
        problem = line.substr(1);
      } else {
        on_line(line);
      }
    }
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!problem.empty()) return fail(Error{"", 0, "", problem, ""});
  return {};
}

}  // namespace vpn::cli
