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
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

#include "lab/run/pcapng.h"
#include "vpn/offload/segmenter.h"
#include "vpn/offload/vnet_header.h"

namespace lab {
namespace {

constexpr size_t kLongestPacket = size_t{256} << 10;
constexpr int kReceiveBuffer = 16 << 20;
constexpr int kDeafPollMs = 10;
constexpr const char* kAsWhoeverMadeIt = "run as the user who brought the lab up";
constexpr uint16_t kLinkTypeEthernet = 1;
constexpr uint16_t kLinkTypeRaw = 101;

struct Ear {
  UniqueFd socket;
  std::string label;
  std::string interface;
  int index = 0;  // of the interface it is bound to
  bool only_outgoing = false;
  bool has_headers = false;  // a vnet header is in front of each packet
  bool is_deaf = false;      // its interface went down, or away: a daemon that is restarted makes another
  uint16_t link_type = kLinkTypeEthernet;
  uint64_t unheard_count = 0;  // what the kernel had no room for, or no way to describe
};

Result<void> enter_host(pid_t holder) {
  const std::string base = "/proc/" + std::to_string(holder) + "/ns/";
  struct stat own {};
  struct stat other {};
  const bool same_user = ::stat("/proc/self/ns/user", &own) == 0 &&
                         ::stat((base + "user").c_str(), &other) == 0 && own.st_ino == other.st_ino;
  const UniqueFd user(::open((base + "user").c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd network(::open((base + "net").c_str(), O_RDONLY | O_CLOEXEC));
  if (!same_user && ::setns(user.get(), CLONE_NEWUSER) != 0)
    return fail_errno("capture", "entering the lab", kAsWhoeverMadeIt);
  if (::setns(network.get(), CLONE_NEWNET) != 0)
    return fail_errno("capture", "entering the host", kAsWhoeverMadeIt);
  return {};
}

// Whether a packet socket can describe UDP super-packets; before Linux 6.2 it loses them when asked to.
bool describes_udp_segments() {
  utsname system{};
  unsigned major = 0;
  unsigned minor = 0;
  // NOLINTNEXTLINE(cert-err34-c): what is no number is no such kernel
  return ::uname(&system) == 0 && std::sscanf(system.release, "%u.%u", &major, &minor) == 2 &&
         (major > 6 || (major == 6 && minor >= 2));
}

// By the ear's own socket, which remains in its host.
int index_of(const Ear& ear) {
  ifreq request{};
  std::strncpy(request.ifr_name, ear.interface.c_str(), IFNAMSIZ - 1);
  return ::ioctl(ear.socket.get(), SIOCGIFINDEX, &request) == 0 ? request.ifr_ifindex : 0;
}

bool bind_to(Ear& ear, int index) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = index;
  ear.index = index;
  return ::bind(ear.socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

// Listens again once there is an interface of that name that is up.
void prick_up(Ear& ear) {
  const int index = index_of(ear);
  if (index == 0) return;
  ifreq request{};
  std::strncpy(request.ifr_name, ear.interface.c_str(), IFNAMSIZ - 1);
  const bool is_up =
      ::ioctl(ear.socket.get(), SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) != 0;
  // The kernel itself goes on with an interface that comes up again.
  ear.is_deaf = index == ear.index ? !is_up : !bind_to(ear, index);
}

Result<Ear> listen_at(const CapturePoint& point) {
  if (auto entered = enter_host(point.holder); !entered) return fail(entered.error());
  Ear ear;
  ear.label = point.label;
  ear.interface = point.interface;
  ear.only_outgoing = point.only_outgoing;
  ear.socket = UniqueFd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!ear.socket.is_open()) return fail_errno(point.label, "making a packet socket", kAsWhoeverMadeIt);
  ifreq request{};
  std::strncpy(request.ifr_name, point.interface.c_str(), IFNAMSIZ - 1);
  if (::ioctl(ear.socket.get(), SIOCGIFHWADDR, &request) != 0)
    return fail_errno(point.label, "looking the interface up", "see 'lab status' for what the host has now");
  if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER && request.ifr_hwaddr.sa_family != ARPHRD_LOOPBACK)
    ear.link_type = kLinkTypeRaw;
  const int on = 1;
  ::setsockopt(ear.socket.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  if (::setsockopt(ear.socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer) !=
      0) {
    ::setsockopt(ear.socket.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  }
  ear.has_headers = describes_udp_segments() &&
                    ::setsockopt(ear.socket.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) == 0;
  if (!bind_to(ear, index_of(ear))) {
    return fail_errno(point.label, "listening on the interface",
                      "see 'lab status' for what the host has now");
  }
  return ear;
}

// One packet, as a block of the file.
struct Heard {
  uint64_t unix_nanoseconds;
  std::string block;
};

uint64_t nanoseconds_of(const timespec& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

// Writes down what stands for one packet, or for several: hosts hand a link many at once, to be cut by
// hardware that is not there, and leave checksums to it.
class Scribe {
 public:
  Scribe(std::vector<Heard>& heard, uint32_t number, uint64_t at, bool outgoing)
      : heard_(heard), number_(number), at_(at), outgoing_(outgoing) {}

  void write(vpn::BytesView packet) {
    heard_.push_back({at_, pcapng::packet(number_, at_, packet, outgoing_)});
  }

  // `link_bytes` of the link's own header are in front of the IP header.
  void write(const vpn::offload::VnetHeader& header, vpn::MutableBytes packet, size_t link_bytes) {
    const auto segmenter = packet.size() < link_bytes || header.gso == vpn::offload::GsoKind::kNone
                               ? std::nullopt
                               : vpn::offload::Segmenter::create(header, packet.subspan(link_bytes));
    if (!segmenter) {
      (void)vpn::offload::complete_checksum(header, packet);
      return write(packet);
    }
    std::vector<uint8_t> cut(packet.begin(), packet.begin() + static_cast<ptrdiff_t>(link_bytes));
    for (size_t i = 0; i < segmenter->segment_count(); ++i) {
      cut.resize(link_bytes + segmenter->segment_bytes(i));
      segmenter->write_segment(i, vpn::MutableBytes(cut).subspan(link_bytes));
      write(cut);
    }
  }

 private:
  std::vector<Heard>& heard_;
  uint32_t number_;
  uint64_t at_;
  bool outgoing_;
};

// Reads one packet. False when there is none to read.
bool hear(Ear& ear, uint32_t number, std::vector<uint8_t>& buffer, std::vector<Heard>& heard) {
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
  if (length < 0) {
    const bool is_indescribable = errno == EINVAL;
    ear.is_deaf |= errno == ENETDOWN;
    ear.unheard_count += is_indescribable ? 1 : 0;
    return is_indescribable;
  }
  const bool outgoing = from.sll_pkttype == PACKET_OUTGOING;
  if (ear.only_outgoing && !outgoing) return true;
  timespec time{};
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SO_TIMESTAMPNS)
      std::memcpy(&time, CMSG_DATA(header), sizeof time);
  }
  Scribe scribe(heard, number, nanoseconds_of(time), outgoing);
  const vpn::MutableBytes bytes(buffer.data(), static_cast<size_t>(length));
  constexpr size_t kHeader = vpn::offload::VnetHeader::kBytes;
  const auto header = ear.has_headers && bytes.size() >= kHeader
                          ? vpn::offload::VnetHeader::decode(bytes.first<kHeader>())
                          : std::nullopt;
  const vpn::MutableBytes packet = bytes.subspan(ear.has_headers ? std::min(kHeader, bytes.size()) : 0);
  if (header) {
    scribe.write(*header, packet, ear.link_type == kLinkTypeEthernet ? ETH_HLEN : 0);
  } else {
    scribe.write(packet);
  }
  return true;
}

// What the kernel had to throw away since it was last asked, because nobody read it in time.
void count_unheard(Ear& ear) {
  tpacket_stats counts{};
  socklen_t length = sizeof counts;
  if (::getsockopt(ear.socket.get(), SOL_PACKET, PACKET_STATISTICS, &counts, &length) == 0)
    ear.unheard_count += counts.tp_drops;
}

// Several interfaces are read one after the other, but a reader of the file needs a message before its
// answer: moves what was sent up to `until` to `out`, in the order of time. Returns how many packets.
uint64_t take_in_order(std::vector<Heard>& heard, uint64_t until, std::string& out) {
  std::stable_sort(heard.begin(), heard.end(),
                   [](const Heard& a, const Heard& b) { return a.unix_nanoseconds < b.unix_nanoseconds; });
  const auto end = std::find_if(heard.begin(), heard.end(),
                                [&](const Heard& one) { return one.unix_nanoseconds > until; });
  for (auto one = heard.begin(); one != end; ++one) out += one->block;
  const auto count = static_cast<uint64_t>(end - heard.begin());
  heard.erase(heard.begin(), end);
  return count;
}

// What was added to the key logs since the last look.
class KeyFeed {
 public:
  explicit KeyFeed(const CaptureKeys& keys)
      : first_(keys.known), files_(keys.files), read_(keys.files.size()) {}

  // A block of the capture; nothing where nothing was added.
  std::string fresh_block() {
    std::string text = std::exchange(first_, {});
    for (size_t i = 0; i < files_.size(); ++i) {
      const UniqueFd file(::open(files_[i].c_str(), O_RDONLY | O_CLOEXEC));
      std::array<char, 4096> buffer;
      for (ssize_t count = 0; (count = ::pread(file.get(), buffer.data(), buffer.size(), read_[i])) > 0;) {
        text.append(buffer.data(), static_cast<size_t>(count));
        read_[i] += count;
      }
    }
    return text.empty() ? text : pcapng::wireguard_keys(text);
  }

 private:
  std::string first_;
  std::vector<std::string> files_;
  std::vector<off_t> read_;  // bytes of each
};

Result<void> append(const UniqueFd& file, const std::string& path, std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t count = ::write(file.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0) return fail_errno(path, "writing the capture", "make room");
    done += static_cast<size_t>(count);
  }
  bytes.clear();
  return {};
}

// All there is to hear, and no more than `room` packets.
void hear_all(std::vector<Ear>& ears, uint64_t room, std::vector<uint8_t>& buffer,
              std::vector<Heard>& heard) {
  for (size_t i = 0; i < ears.size(); ++i) {
    if (ears[i].is_deaf) prick_up(ears[i]);
    while (heard.size() < room && hear(ears[i], static_cast<uint32_t>(i), buffer, heard)) {
    }
  }
  if (heard.size() > room) heard.resize(room);  // in the midst of a super-packet
}

// Until a limit is reached or a signal can be read from the first of `waits`, which wait for the ears in
// their order.
Result<uint64_t> record(std::vector<Ear>& ears, std::vector<pollfd>& waits, KeyFeed& feed,
                        const UniqueFd& file, const std::string& path, CaptureLimits limits) {
  using Seconds = std::chrono::duration<double>;
  const auto start = std::chrono::steady_clock::now();
  std::vector<uint8_t> buffer(kLongestPacket);
  std::vector<Heard> heard;
  std::string out;
  for (uint64_t count = 0;;) {
    const bool all_hear = std::none_of(ears.begin(), ears.end(), [](const Ear& ear) { return ear.is_deaf; });
    int wait = !heard.empty() ? 0 : all_hear ? -1 : kDeafPollMs;
    bool ended = false;
    if (limits.seconds > 0) {
      const double left = limits.seconds - Seconds(std::chrono::steady_clock::now() - start).count();
      ended = left <= 0;
      const int left_ms = static_cast<int>(std::max(left, 0.0) * 1000) + 1;
      if (heard.empty()) wait = all_hear ? left_ms : std::min(left_ms, kDeafPollMs);
    }
    if (!ended && ::poll(waits.data(), waits.size(), wait) < 0 && errno != EINTR)
      return fail_errno("capture", "waiting");
    ended |= (waits[0].revents & POLLIN) != 0;
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    hear_all(ears, limits.packets == 0 ? UINT64_MAX : limits.packets - count, buffer, heard);
    ended |= limits.packets > 0 && count + heard.size() >= limits.packets;
    count += take_in_order(heard, ended ? UINT64_MAX : nanoseconds_of(now), out);
    // Only now: whoever sent what has just been heard had written its key down before.
    if (!out.empty()) out.insert(0, feed.fresh_block());
    if (auto written = append(file, path, out); !written) return fail(written.error());
    if (ended) return count;
  }
}

}  // namespace

Result<Captured> capture(const std::vector<CapturePoint>& points, const std::string& path,
                         const std::string& comment, const CaptureKeys& keys, CaptureLimits limits,
                         const std::function<void()>& ready) {
  const UniqueFd file(path == "-" ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                                  : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                                           0600));  // it may hold keys
  if (!file.is_open())
    return fail_errno(path, "opening it to write", "name a file that can be written with -o");
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  const UniqueFd signals(::signalfd(-1, &ending, SFD_CLOEXEC));

  std::string out = pcapng::section_header(comment);
  KeyFeed feed(keys);
  out += feed.fresh_block();
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

  const auto count = record(ears, waits, feed, file, path, limits);
  if (!count) return fail(count.error());
  Captured captured{*count, 0};
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  for (size_t i = 0; i < ears.size(); ++i) {
    count_unheard(ears[i]);
    captured.lost += ears[i].unheard_count;
    out += pcapng::statistics(static_cast<uint32_t>(i), nanoseconds_of(now), ears[i].unheard_count);
  }
  if (auto written = append(file, path, out); !written) return fail(written.error());
  return captured;
}

}  // namespace lab
