#include "vpn/host/echo_socket.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "vpn/base/endian.h"
#include "vpn/io/udp_address_codec.h"

namespace vpn::host {
namespace {

constexpr size_t kIpv4HeaderBytes = 20;
constexpr size_t kIpv6HeaderBytes = 40;
constexpr size_t kEchoHeaderBytes = 8;  // type, code, checksum, identifier, sequence number
constexpr size_t kLongestPacket = 65535;

uint16_t random_identifier() noexcept {
  uint16_t identifier = 0;
  return getrandom(&identifier, sizeof identifier, 0) == sizeof identifier ? identifier : uint16_t{0x5650};
}

// RFC 1071. IPv6's needs a pseudo header, and is the kernel's work.
uint16_t checksum_of(BytesView bytes) noexcept {
  uint32_t sum = 0;
  for (size_t at = 0; at + 1 < bytes.size(); at += 2) sum += load_be<uint16_t>(&bytes[at]);
  if (bytes.size() % 2 != 0) sum += uint32_t{bytes.back()} << 8;
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~(sum + (sum >> 16)));
}

bool listen_to_answers_only(int fd, bool ipv4) noexcept {
  if (ipv4) {
    const icmp_filter filter{~(uint32_t{1} << ICMP_ECHOREPLY)};
    return setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof filter) == 0;
  }
  icmp6_filter filter;
  ICMP6_FILTER_SETBLOCKALL(&filter);
  ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
  return setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) == 0;
}

}  // namespace

EchoSocket::EchoSocket(io::UniqueFd fd, IpFamily family) noexcept
    : fd_(std::move(fd)), family_(family), identifier_(random_identifier()) {}

Result<EchoSocket, Error> EchoSocket::open(IpFamily family, const std::string& interface) {
  const bool ipv4 = family == IpFamily::kIpv4;
  io::UniqueFd fd(socket(ipv4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                         ipv4 ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6)));
  static_assert(int{IP_PMTUDISC_PROBE} == int{IPV6_PMTUDISC_PROBE});
  const int probe = IP_PMTUDISC_PROBE;
  const bool made = fd.is_open() &&
                    setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, interface.c_str(),
                               static_cast<socklen_t>(interface.size())) == 0 &&
                    setsockopt(fd.get(), ipv4 ? IPPROTO_IP : IPPROTO_IPV6,
                               ipv4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &probe, sizeof probe) == 0 &&
                    listen_to_answers_only(fd.get(), ipv4);
  if (made) return EchoSocket(std::move(fd), family);
  return fail(Error{"ICMP", 0, "", "no socket for it: " + std::generic_category().message(errno),
                    "run as root, or give MTU in the configuration"});
}

void EchoSocket::send(const IpAddress& to, uint16_t bytes) noexcept {
  static constexpr std::array<uint8_t, kLongestPacket> kZeros{};
  const bool ipv4 = family_ == IpFamily::kIpv4;
  const size_t ip_header = ipv4 ? kIpv4HeaderBytes : kIpv6HeaderBytes;
  std::array<uint8_t, kEchoHeaderBytes> header{};
  header[0] = ipv4 ? uint8_t{ICMP_ECHO} : uint8_t{ICMP6_ECHO_REQUEST};
  store_be(&header[4], identifier_);
  store_be(&header[6], bytes);
  if (ipv4) store_be(&header[2], checksum_of(header));  // the zeros that follow add nothing
  sockaddr_storage address{};
  const socklen_t length = io::to_sockaddr({to, 0, 0}, address);
  std::array<iovec, 2> parts{iovec{header.data(), header.size()},
                             iovec{const_cast<uint8_t*>(kZeros.data()), bytes - ip_header - header.size()}};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = length;
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  static_cast<void>(sendmsg(fd_.get(), &message, 0));
}

std::optional<EchoSocket::Answer> EchoSocket::receive() noexcept {
  const bool ipv4 = family_ == IpFamily::kIpv4;
  const size_t ip_header = ipv4 ? kIpv4HeaderBytes : kIpv6HeaderBytes;
  std::array<uint8_t, 128> bytes;  // of the packet's beginning
  sockaddr_storage from{};
  while (true) {
    socklen_t length = sizeof from;
    const ssize_t got = recvfrom(fd_.get(), bytes.data(), bytes.size(), MSG_TRUNC,
                                 reinterpret_cast<sockaddr*>(&from), &length);
    if (got < 0) return std::nullopt;
    // A raw IPv4 socket hands out the IP header too.
    const size_t header_at = ipv4 ? size_t{bytes[0] & 0x0fU} * 4 : 0;
    if (static_cast<size_t>(got) < header_at + kEchoHeaderBytes) continue;
    const uint8_t* const echo = &bytes[header_at];
    if (load_be<uint16_t>(echo + 4) != identifier_) continue;
    const auto asked = load_be<uint16_t>(echo + 6);
    const size_t packet = ipv4 ? static_cast<size_t>(got) : static_cast<size_t>(got) + ip_header;
    if (packet == asked) return Answer{io::from_sockaddr(from).address, asked};
  }
}

}  // namespace vpn::host
