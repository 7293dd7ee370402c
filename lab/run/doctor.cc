#include "lab/run/doctor.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <initializer_list>
#include <utility>

#include "lab/engines/netem.h"
#include "lab/kernel/batch_io.h"
#include "lab/kernel/namespaces.h"
#include "lab/kernel/nat.h"
#include "lab/kernel/netlink.h"
#include "lab/kernel/tap.h"
#include "lab/run/tunnels.h"
#include "lab/vm/vm.h"

namespace lab {
namespace {

// Runs `probe` in a child that is in new namespaces (of a new user, unless we are root). An empty answer is
// success.
std::string try_in_namespaces(const std::function<Result<void>()>& probe) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return "no pipe";
  const UniqueFd outcome(ends[0]);
  UniqueFd report(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return "no process";
  if (child == 0) {
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    Result<void> done;
    if (::unshare(CLONE_NEWNET | CLONE_NEWNS | (uid == 0 ? 0 : CLONE_NEWUSER)) != 0) {
      done = fail_errno("", "making namespaces");
    } else if (uid != 0) {
      done = map_to_root(uid, gid);
    }
    if (done) (void)::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (done) done = probe();
    const std::string text = done ? "" : done.error().what;
    (void)!::write(report.get(), text.data(), text.size());
    ::_exit(0);
  }
  report.reset();
  std::string text;
  for (char buffer[512];;) {
    const ssize_t count = ::read(outcome.get(), buffer, sizeof buffer);
    if (count <= 0) break;
    text.append(buffer, static_cast<size_t>(count));
  }
  ::waitpid(child, nullptr, 0);
  return text;
}

std::string setting(const char* path) {
  std::string text = read_file(path).value_or("");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// Which switch keeps an ordinary user from making namespaces.
std::string user_namespace_remedy() {
  if (setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1") {
    return "sysctl kernel.apparmor_restrict_unprivileged_userns=0";
  }
  if (setting("/proc/sys/kernel/unprivileged_userns_clone") == "0")
    return "sysctl kernel.unprivileged_userns_clone=1";
  if (setting("/proc/sys/user/max_user_namespaces") == "0") return "sysctl user.max_user_namespaces=10000";
  return "run as root; inside a container, let it make namespaces (--privileged, or its seccomp profile)";
}

// What lets the wire have io_uring.
std::string io_uring_remedy() {
  const std::string disabled = setting("/proc/sys/kernel/io_uring_disabled");
  if (disabled == "2" || (disabled == "1" && ::geteuid() != 0)) return "sysctl kernel.io_uring_disabled=0";
  return "inside a container, let its seccomp profile allow io_uring_setup and io_uring_enter; else a kernel "
         "with CONFIG_IO_URING; until then each frame takes a read and a write";
}

template <typename Act>
Result<void> with_netlink(Act act) {
  auto netlink = Netlink::open();
  if (!netlink) return fail(netlink.error());
  return act(*netlink);
}

Result<void> probe_wire() {
  auto tap = create_tap("doctor");
  if (!tap) return fail(tap.error());
  return set_tap_offload(*tap, true);
}

// Whether frames that wait are read from a TAP with one system call.
Result<void> probe_batches() {
  auto tap = create_tap("doctor");
  if (!tap) return fail(tap.error());
  BatchIo io;
  std::array<uint8_t, 64> room{};
  std::array<Transfer, 2> none{};
  none.fill({tap->get(), room.data(), room.size()});
  io.read(none);
  if (!io.refusal().empty()) return fail("", io.refusal());
  return {};
}

Result<void> probe_veth() {
  const auto here = open_network_namespace(::getpid());
  if (!here) return fail(here.error());
  return with_netlink(
      [&](Netlink& netlink) { return netlink.create_veth("doctor0", "doctor1", here->get()); });
}

Result<void> probe_netem() {
  return with_netlink([](Netlink& netlink) -> Result<void> {
    if (has_netem(netlink)) return {};
    return fail("", "this kernel has none");
  });
}

Result<void> probe_nat() {
  Nat nat;
  nat.kind = NatKind::kRestricted;
  nat.inside = {"inside"};
  nat.outside = "outside";
  nat.hairpin = true;
  return load_ruleset("", nat_ruleset(nat, IpAddress::ipv4(192, 0, 2, 1), false));
}

Result<void> probe_overlay() {
  if (::mount("tmpfs", "/mnt", "tmpfs", 0, nullptr) != 0) return fail_errno("", "mounting tmpfs");
  for (const char* directory : {"/mnt/upper", "/mnt/work"}) (void)::mkdir(directory, 0755);
  const std::string options =
      std::string("lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work") +
      (setting("/proc/self/uid_map").find("4294967295") == std::string::npos ? ",userxattr" : "");
  if (::mount("overlay", "/etc", "overlay", 0, options.c_str()) != 0)
    return fail_errno("", "mounting an overlay");
  return {};
}

}  // namespace

std::vector<Finding> examine() {
  std::vector<Finding> findings;
  const auto add = [&](const std::string& what, bool needed, const std::string& well,
                       const std::string& problem, const std::string& remedy) {
    findings.push_back(
        {what, problem.empty(), needed, problem.empty() ? well : problem, problem.empty() ? "" : remedy});
  };
  utsname kernel{};
  ::uname(&kernel);
  const bool root = ::geteuid() == 0;
  add("user", false, root ? "root" : "an ordinary user: labs come up in user namespaces", "", "");
  add("namespaces", true, std::string("Linux ") + kernel.release,
      try_in_namespaces([]() -> Result<void> { return {}; }),
      root ? "inside a container, let it make namespaces (--privileged)" : user_namespace_remedy());
  add("mounts", true, "a lab has its own", try_in_namespaces([]() -> Result<void> {
        if (auto done = make_mounts_private(); !done) return done;
        return mount_sysfs();
      }),
      "in a chroot, make its root a mount before: mount --bind DIR DIR; inside a container that covers parts "
      "of "
      "/sys, run as root");
  const int tun = ::access("/dev/net/tun", R_OK | W_OK) == 0 ? 0 : errno;
  add("TUN and TAP (engine wire, VPN daemons)", true, "user-space links work", try_in_namespaces(probe_wire),
      tun == EACCES ? "chmod 0666 /dev/net/tun (udev's default), or run as root"
                    : "load the module tun (modprobe tun), or give the container /dev/net/tun");
  add("io_uring (engine wire)", false, "many frames with one system call", try_in_namespaces(probe_batches),
      io_uring_remedy());
  add("veth (engines netem and veth)", false, "kernel links work", try_in_namespaces(probe_veth),
      "load the module veth, or use engine wire");
  add("bridge (switches)", false, "switches work", try_in_namespaces([] {
        return with_netlink([](Netlink& netlink) { return netlink.create_bridge("doctor"); });
      }),
      "load the module bridge, or use topologies without switches");
  add("netem (engine netem)", false, "links with weather use it, unless a seed is given",
      try_in_namespaces(probe_netem),
      "nothing to do: links with weather use engine wire; for the kernel's own, run under 'lab vm run --'");
  add("WireGuard in the kernel (kind kernel)", false, "kind = \"kernel\" works", try_in_namespaces([] {
        return with_netlink([](Netlink& netlink) { return netlink.create_wireguard("doctor"); });
      }),
      "use kind vpn or wireguard-go, or run under 'lab vm run --'");
  add("nftables with NAT (routers with nat)", false, "all kinds of NAT work", try_in_namespaces(probe_nat),
      "load the modules nf_tables and nft_chain_nat, or run under 'lab vm run --'");
  add("overlay (each host's own /etc)", false, "hosts change /etc for themselves",
      try_in_namespaces(probe_overlay),
      "hosts have resolv.conf and hosts of their own all the same, but cannot replace them");
  for (const auto& [machine, name] : {std::pair(Machine::kUml, "User-Mode Linux (lab vm run)"),
                                      std::pair(Machine::kQemu, "QEMU (lab vm run --machine qemu)")}) {
    const Readiness found = readiness_of(machine);
    add(name, false, found.detail, found.ready ? "" : found.detail, found.remedy);
  }
  for (const auto& [program, package] : std::initializer_list<std::pair<const char*, const char*>>{
           {"vpn", "build it: make build"},
           {"wireguard-go", "apt-get install wireguard-go"},
           {"wg", "apt-get install wireguard-tools"},
           {"iperf3", "apt-get install iperf3"},
           {"dnsmasq", "apt-get install dnsmasq-base"},
           {"openvpn", "apt-get install openvpn"},
           {"fastd", "apt-get install fastd"}}) {
    const auto found = find_program(program);
    add(std::string("program ") + program, false, found.value_or(""), found ? "" : "not installed", package);
  }
  return findings;
}

}  // namespace lab
