#include "vpn/io/udp_socket.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "vpn/base/unfilled_bytes.h"
#include "vpn/io/system.h"
#include "vpn/io/udp_address_codec.h"

namespace vpn::io {
namespace {

constexpr size_t kMessageBytes = 65536;
constexpr size_t kSendBatch = 64;
constexpr size_t kControlBytes = 256;
constexpr int kErrorsTakenOff = 16;
constexpr int kReceiveBufferBytes = 4 << 20;
// What stands in the kernel's queues once more is sent than the way out carries, and so the delay of whatever
// comes behind it: what one flush of ours holds, which the kernel doubles for its bookkeeping.
constexpr int kSendBufferBytes = 512 << 10;
// A run refused this often in a row, while its datagrams go one by one, will always be.
constexpr unsigned kRefusalsUntilOff = 16;
#ifndef UDP_SEGMENT
constexpr int UDP_SEGMENT = 103;
#endif
#ifndef UDP_GRO
constexpr int UDP_GRO = 104;
#endif

bool set_option(int fd, int level, int name, int value) noexcept {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

// Whether what the link does not take in one piece is split, or refused (EMSGSIZE). Either way, what ICMP
// says of the path is not believed, as anybody may say it: neither is a packet cut smaller than its link
// wants it, nor does the kernel remember the size.
void set_splitting(int fd, IpFamily family, bool splits) noexcept {
  if (family == IpFamily::kIpv4) {
    set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, splits ? IP_PMTUDISC_OMIT : IP_PMTUDISC_INTERFACE);
  } else {
    set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, splits ? IPV6_PMTUDISC_OMIT : IPV6_PMTUDISC_INTERFACE);
  }
}

// Appends one control message.
template <typename T>
void add_control(msghdr& message, int level, int type, const T& value) noexcept {
  uint8_t* const at = static_cast<uint8_t*>(message.msg_control) + message.msg_controllen;
  cmsghdr header{};
  header.cmsg_level = level;
  header.cmsg_type = type;
  header.cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(at, &header, sizeof header);
  std::memcpy(at + CMSG_LEN(0), &value, sizeof value);
  message.msg_controllen += CMSG_SPACE(sizeof value);
}

template <typename T>
T control_value(const cmsghdr* header) noexcept {
  T value{};
  std::memcpy(&value, CMSG_DATA(header), std::min<size_t>(sizeof value, header->cmsg_len - CMSG_LEN(0)));
  return value;
}

struct OneMessage {
  alignas(cmsghdr) std::array<uint8_t, kControlBytes> control;
  sockaddr_storage address;
  iovec part;
};

// Fills `message` to send `run`; `use_local` false leaves the source address to the kernel.
void describe(const SendRun& run, bool use_local, OneMessage& storage, msghdr& message) noexcept {
  message = {};
  message.msg_name = &storage.address;
  message.msg_namelen = to_sockaddr(run.path.remote, storage.address);
  storage.part = {const_cast<uint8_t*>(run.bytes.data()), run.bytes.size()};
  message.msg_iov = &storage.part;
  message.msg_iovlen = 1;
  storage.control.fill(0);
  message.msg_control = storage.control.data();
  message.msg_controllen = 0;
  const bool ipv4 = run.path.remote.address.is_ipv4();
  if (run.tos != 0)
    add_control(message, ipv4 ? IPPROTO_IP : IPPROTO_IPV6, ipv4 ? IP_TOS : IPV6_TCLASS, int{run.tos});
  if (use_local && run.path.local && run.path.local->is_ipv4() == ipv4) {
    const BytesView local = run.path.local->bytes();
    if (ipv4) {
      in_pktinfo info{};
      std::memcpy(&info.ipi_spec_dst, local.data(), 4);
      add_control(message, IPPROTO_IP, IP_PKTINFO, info);
    } else {
      in6_pktinfo info{};
      std::memcpy(&info.ipi6_addr, local.data(), 16);
      info.ipi6_ifindex = run.path.remote.scope_id;
      // Without the link a link-local source is none; the peer's own address may be a global one.
      if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = run.path.interface_index;
      add_control(message, IPPROTO_IPV6, IPV6_PKTINFO, info);
    }
  }
  if (datagram_count(run) > 1) {
    add_control(message, SOL_UDP, UDP_SEGMENT, static_cast<uint16_t>(run.segment_bytes));
  }
}

// Whether the kernel says this of a source address that it does not have, or has no route from.
bool may_be_for_its_source(int error_number) noexcept {
  switch (error_number) {
    case EINVAL:
    case EADDRNOTAVAIL:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENODEV:
      return true;
    default:
      return false;
  }
}

}  // namespace

struct UdpSocket::ReceiveBuffers {
  std::array<OneMessage, kReceiveBatch> storage;
  std::array<mmsghdr, kReceiveBatch> messages;
  std::array<ReceivedRun, kReceiveBatch> runs;
  UnfilledBytes bytes{kReceiveBatch * kMessageBytes};  // of the unused family nothing is there
};

struct UdpSocket::SendBuffers {
  std::array<OneMessage, kSendBatch> storage;
  std::array<mmsghdr, kSendBatch> messages;
};

UdpSocket::UdpSocket(UniqueFd fd, UdpOptions options)
    : fd_(std::move(fd)),
      options_(options),
      receive_(new ReceiveBuffers, [](ReceiveBuffers* buffers) { delete buffers; }),
      send_(new SendBuffers, [](SendBuffers* buffers) { delete buffers; }) {}

Result<UdpSocket, Error> UdpSocket::open(const UdpOptions& options) {
  const bool ipv4 = options.family == IpFamily::kIpv4;
  const std::string where =
      std::string("UDP port ") + std::to_string(options.port) + (ipv4 ? " (IPv4)" : " (IPv6)");
  UniqueFd fd(socket(ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP));
  if (!fd.is_open()) {
    const int error_number = errno;
    return fail(Error{where, 0, "", error_text(error_number),
                      error_number == EAFNOSUPPORT ? "" : "see the kernel's log", error_number});
  }
  if (options.reuse_port) set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (ipv4) {
    set_option(fd.get(), IPPROTO_IP, IP_PKTINFO, 1);
    set_option(fd.get(), IPPROTO_IP, IP_RECVTOS, 1);
  } else {
    set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
    set_option(fd.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    set_option(fd.get(), IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
  }
  set_splitting(fd.get(), options.family, options.split_up_to == UdpOptions::kAnyLength);
  set_option(fd.get(), SOL_SOCKET, SO_RXQ_OVFL, 1);
  // The forced sizes need CAP_NET_ADMIN; without, the system's limit is what there is.
  if (!set_option(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, kReceiveBufferBytes)) {
    set_option(fd.get(), SOL_SOCKET, SO_RCVBUF, kReceiveBufferBytes);
  }
  if (!set_option(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, kSendBufferBytes)) {
    set_option(fd.get(), SOL_SOCKET, SO_SNDBUF, kSendBufferBytes);
  }

  sockaddr_storage address{};
  const UdpAddress any{ipv4 ? IpAddress() : IpAddress::ipv6(std::array<uint8_t, 16>{}), options.port, 0};
  socklen_t length = to_sockaddr(any, address);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    const int error_number = errno;
    Error error{where,       0, "", "cannot listen: " + error_text(error_number), "choose another port",
                error_number};
    if (error_number == EADDRINUSE) error.problem = "taken by another program";
    if (error_number == EADDRINUSE)
      error.remedy = "end that program ('ss -ulpn' names it), or choose another ListenPort";
    return fail(std::move(error));
  }
  getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length);
  UdpSocket opened(std::move(fd), options);
  opened.options_.port = from_sockaddr(address).port;
  if (options.offload) opened.enable_offload();
  if (options.fwmark != 0) {
    if (auto marked = opened.set_fwmark(options.fwmark); !marked) return fail(std::move(marked.error()));
  }
  return opened;
}

void UdpSocket::enable_offload() noexcept {
  segments_ =
      set_option(fd(), SOL_UDP, UDP_SEGMENT, 0);  // 0 sets nothing; an old kernel knows no such option
  coalesces_ = set_option(fd(), SOL_UDP, UDP_GRO, 1);
}

Result<bool, Error> UdpSocket::set_fwmark(uint32_t fwmark) noexcept {
  if (setsockopt(fd(), SOL_SOCKET, SO_MARK, &fwmark, sizeof fwmark) != 0) {
    return fail(
        Error{"", 0, "FwMark", "cannot mark packets: " + error_text(errno), "run with CAP_NET_ADMIN"});
  }
  options_.fwmark = fwmark;
  return true;
}

Result<bool, Error> UdpSocket::share_port() noexcept {
  if (set_option(fd(), SOL_SOCKET, SO_REUSEPORT, 1)) return true;
  return fail(
      Error{"", 0, "Workers", "cannot share the UDP port: " + error_text(errno), "set 'Workers = 1'"});
}

std::span<ReceivedRun> UdpSocket::receive_batch() noexcept {
  ReceiveBuffers& buffers = *receive_;
  for (size_t index = 0; index < kReceiveBatch; ++index) {
    OneMessage& storage = buffers.storage[index];
    storage.part = {buffers.bytes.data() + index * kMessageBytes, kMessageBytes};
    msghdr& message = buffers.messages[index].msg_hdr;
    message = {};
    message.msg_name = &storage.address;
    message.msg_namelen = sizeof storage.address;
    message.msg_iov = &storage.part;
    message.msg_iovlen = 1;
    message.msg_control = storage.control.data();
    message.msg_controllen = storage.control.size();
  }
  // An ICMP error that waits on the socket is taken off by the call that reports it.
  int got = -1;
  for (int attempt = 0; attempt < kErrorsTakenOff && got < 0; ++attempt) {
    got = options_.calls->recvmmsg(fd(), buffers.messages.data(), kReceiveBatch, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) break;
  }
  if (got <= 0) return {};
  for (size_t index = 0; index < static_cast<size_t>(got); ++index) {
    msghdr& message = buffers.messages[index].msg_hdr;
    const size_t length = buffers.messages[index].msg_len;
    ReceivedRun& run = buffers.runs[index];
    run = {};
    run.bytes = MutableBytes(buffers.bytes.data() + index * kMessageBytes, length);
    run.segment_bytes = length;
    run.path.remote = from_sockaddr(buffers.storage[index].address);
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
         control = CMSG_NXTHDR(&message, control)) {
      if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
        run.segment_bytes = static_cast<size_t>(control_value<int>(control));
      } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
        const auto info = control_value<in_pktinfo>(control);
        run.path.local = to_ip_address(info.ipi_spec_dst);
        run.path.interface_index = static_cast<uint32_t>(info.ipi_ifindex);
      } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
        const auto info = control_value<in6_pktinfo>(control);
        run.path.local = to_ip_address(info.ipi6_addr);
        run.path.interface_index = info.ipi6_ifindex;
      } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS) {
        run.tos = control_value<uint8_t>(control);
      } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS) {
        run.tos = static_cast<uint8_t>(control_value<int>(control));
      } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_RXQ_OVFL) {
        receive_overflows_ = control_value<uint32_t>(control);
      }
    }
  }
  return std::span(buffers.runs).first(static_cast<size_t>(got));
}

void UdpSocket::send_batch(std::span<const SendRun> runs) noexcept {
  while (!runs.empty()) {
    const size_t count = std::min(runs.size(), kSendBatch);
    size_t described = 0;
    for (; described < count; ++described) {
      const SendRun& run = runs[described];
      if (!segments_ && datagram_count(run) > 1) break;
      describe(run, true, send_->storage[described], send_->messages[described].msg_hdr);
    }
    if (described == 0) {
      send_refused(runs.front(), 0);
      runs = runs.subspan(1);
      continue;
    }
    const int sent = options_.calls->sendmmsg(fd(), send_->messages.data(), static_cast<unsigned>(described),
                                              MSG_DONTWAIT);
    if (sent > 0) {
      for (const SendRun& run : runs.first(static_cast<size_t>(sent))) {
        const size_t datagrams = datagram_count(run);
        counts_.sent += datagrams;
        if (datagrams > 1) refused_runs_ = 0;
      }
      runs = runs.subspan(static_cast<size_t>(sent));
    } else if (errno != EINTR) {
      send_refused(runs.front(), errno);
      runs = runs.subspan(1);
    }
  }
}

// Sends a run whose sending as a whole failed, or is not to be tried (0), as well as it goes.
void UdpSocket::send_refused(const SendRun& run, int error_number) noexcept {
  const size_t datagrams = datagram_count(run);
  // A source address that went away, or that has no route to there, must not keep us from sending, nor count
  // against segmentation. What is refused for want of room, or by a firewall, does not go round it.
  if (run.path.local && may_be_for_its_source(error_number)) {
    SendRun from_anywhere = run;
    from_anywhere.path.local.reset();
    const int refusal = send_one(from_anywhere);
    if (refusal == 0) {
      counts_.sent += datagrams;
      if (datagrams > 1) refused_runs_ = 0;
      return;
    }
    if (datagrams == 1) error_number = refusal;
  }
  const bool for_segments = error_number == EIO || error_number == EINVAL || error_number == EMSGSIZE;
  if (datagrams == 1 || !(for_segments || error_number == 0)) {
    const bool must_get_through =
        run.bytes.size() <= options_.split_up_to && options_.split_up_to != UdpOptions::kAnyLength;
    if (error_number == EMSGSIZE && must_get_through) error_number = send_in_fragments(run);
    return error_number == 0 ? void(counts_.sent += datagrams) : count_refusal(error_number, datagrams);
  }
  if (error_number == EIO) segments_ = false;
  const uint64_t sent_before = counts_.sent;
  for (size_t at = 0; at < run.bytes.size(); at += run.segment_bytes) {
    SendRun single = run;
    single.bytes = run.bytes.subspan(at, std::min(run.segment_bytes, run.bytes.size() - at));
    single.segment_bytes = single.bytes.size();
    if (const int refusal = send_one(single); refusal == 0) {
      ++counts_.sent;
    } else {
      send_refused(single, refusal);
    }
  }
  // Where no single datagram goes either, it is not the segmentation that is refused.
  if (error_number != 0 && counts_.sent != sent_before && ++refused_runs_ >= kRefusalsUntilOff)
    segments_ = false;
}

// 0, or the errno.
int UdpSocket::send_one(const SendRun& run) noexcept {
  OneMessage storage;
  msghdr message;
  describe(run, true, storage, message);
  return options_.calls->sendmsg(fd(), &message, MSG_DONTWAIT) >= 0 ? 0 : errno;
}

// 0, or the errno.
int UdpSocket::send_in_fragments(const SendRun& run) noexcept {
  set_splitting(fd(), options_.family, true);
  const int error_number = send_one(run);
  set_splitting(fd(), options_.family, false);
  return error_number;
}

void UdpSocket::count_refusal(int error_number, uint64_t datagrams) noexcept {
  switch (error_number) {
    case EMSGSIZE:
      counts_.too_large += datagrams;
      break;
    case ENOBUFS:
    case ENOMEM:
    case EAGAIN:
      counts_.no_buffer += datagrams;
      break;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL:
    case ECONNREFUSED:
      counts_.unreachable += datagrams;
      break;
    case EPERM:
    case EACCES:
      counts_.refused += datagrams;
      break;
    default:
      counts_.other += datagrams;
      break;
  }
}

}  // namespace vpn::io
