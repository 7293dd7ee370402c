#include "lab/run/capture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "lab/run/pcapng.h"

namespace lab {
namespace {

constexpr size_t kLongestPacket = 256 * 1024;
constexpr int kReceiveBuffer = 16 << 20;
constexpr uint16_t kLinkTypeEthernet = 1;
constexpr uint16_t kLinkTypeRaw = 101;

struct Ear {
  UniqueFd socket;
  bool only_outgoing = false;
  uint16_t link_type = kLinkTypeEthernet;
};

Result<void> enter_host(pid_t holder) {
  const std::string base = "/proc/" + std::to_string(holder) + "/ns/";
  struct stat own {};
  struct stat other {};
  const bool same_user = ::stat("/proc/self/ns/user", &own) == 0 &&
                         ::stat((base + "user").c_str(), &other) == 0 && own.st_ino == other.st_ino;
  const UniqueFd user(::open((base + "user").c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd network(::open((base + "net").c_str(), O_RDONLY | O_CLOEXEC));
  if (!same_user && ::setns(user.get(), CLONE_NEWUSER) != 0) return fail_errno("capture", "entering the lab");
  if (::setns(network.get(), CLONE_NEWNET) != 0)
    return fail_errno("capture", "entering the host", "run as the user who brought the lab up");
  return {};
}

Result<Ear> listen_at(const CapturePoint& point) {
  if (auto entered = enter_host(point.holder); !entered) return fail(entered.error());
  Ear ear;
  ear.only_outgoing = point.only_outgoing;
  ear.socket = UniqueFd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!ear.socket.is_open()) return fail_errno(point.label, "making a packet socket");
  ifreq request{};
  std::strncpy(request.ifr_name, point.interface.c_str(), IFNAMSIZ - 1);
  if (::ioctl(ear.socket.get(), SIOCGIFHWADDR, &request) != 0)
    return fail_errno(point.label, "looking the interface up");
  if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER && request.ifr_hwaddr.sa_family != ARPHRD_LOOPBACK)
    ear.link_type = kLinkTypeRaw;
  const int on = 1;
  ::setsockopt(ear.socket.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  if (::setsockopt(ear.socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer) !=
      0) {
    ::setsockopt(ear.socket.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(::if_nametoindex(point.interface.c_str()));
  if (::bind(ear.socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(point.label, "listening on the interface");
  }
  return ear;
}

// Reads one packet and appends its block to `out`. False when there is none to read.
bool hear(const Ear& ear, uint32_t number, std::vector<uint8_t>& buffer, std::string& out, uint64_t& count) {
  sockaddr_ll from{};
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<char, 256> control;
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t length = ::recvmsg(ear.socket.get(), &message, 0);
  if (length < 0) return false;
  const bool outgoing = from.sll_pkttype == PACKET_OUTGOING;
  if (ear.only_outgoing && !outgoing) return true;
  timespec time{};
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SO_TIMESTAMPNS)
      std::memcpy(&time, CMSG_DATA(header), sizeof time);
  }
  const uint64_t nanoseconds =
      static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
  out += pcapng::packet(number, nanoseconds, {buffer.data(), static_cast<size_t>(length)}, outgoing);
  ++count;
  return true;
}

Result<void> append(const UniqueFd& file, const std::string& path, std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t count = ::write(file.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0) return fail_errno(path, "writing the capture", "make room");
    done += static_cast<size_t>(count);
  }
  bytes.clear();
  return {};
}

}  // namespace

Result<uint64_t> capture(const std::vector<CapturePoint>& points, const std::string& path,
                         const std::string& comment, const std::string& key_log, CaptureLimits limits,
                         const std::function<void()>& ready) {
  const UniqueFd file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));  // it may hold keys
  if (!file.is_open())
    return fail_errno(path, "opening it to write", "name a file that can be written with -o");
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &ending, nullptr);
  const UniqueFd signals(::signalfd(-1, &ending, SFD_CLOEXEC));

  std::string out = pcapng::section_header(comment);
  if (!key_log.empty()) out += pcapng::wireguard_keys(key_log);
  std::vector<Ear> ears;
  std::vector<pollfd> waits = {{signals.get(), POLLIN, 0}};
  for (const CapturePoint& point : points) {
    auto ear = listen_at(point);
    if (!ear) return fail(ear.error());
    out += pcapng::interface(point.label, ear->link_type);
    waits.push_back({ear->socket.get(), POLLIN, 0});
    ears.push_back(std::move(*ear));
  }
  if (auto written = append(file, path, out); !written) return fail(written.error());
  ready();

  const auto start = std::chrono::steady_clock::now();
  std::vector<uint8_t> buffer(kLongestPacket);
  uint64_t count = 0;
  for (;;) {
    int wait = -1;
    if (limits.seconds > 0) {
      const double left =
          limits.seconds - std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (left <= 0) return count;
      wait = static_cast<int>(left * 1000) + 1;
    }
    if (::poll(waits.data(), waits.size(), wait) < 0 && errno != EINTR)
      return fail_errno("capture", "waiting");
    for (size_t i = 0; i < ears.size(); ++i) {
      while ((limits.packets == 0 || count < limits.packets) &&
             hear(ears[i], static_cast<uint32_t>(i), buffer, out, count)) {
      }
    }
    if (auto written = append(file, path, out); !written) return fail(written.error());
    if ((waits[0].revents & POLLIN) != 0 || (limits.packets > 0 && count >= limits.packets)) return count;
  }
}

}  // namespace lab
