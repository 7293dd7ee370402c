// UdpAddress ↔ sockaddr.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "vpn/base/ip_address.h"

namespace vpn::io {

// Writes the address and returns its length.
inline socklen_t to_sockaddr(const UdpAddress& address, sockaddr_storage& out) noexcept {
  if (address.address.is_ipv4()) {
    sockaddr_in ipv4{};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(address.port);
    std::memcpy(&ipv4.sin_addr, address.address.bytes().data(), 4);
    std::memcpy(&out, &ipv4, sizeof ipv4);
    return sizeof ipv4;
  }
  sockaddr_in6 ipv6{};
  ipv6.sin6_family = AF_INET6;
  ipv6.sin6_port = htons(address.port);
  ipv6.sin6_scope_id = address.scope_id;
  std::memcpy(&ipv6.sin6_addr, address.address.bytes().data(), 16);
  std::memcpy(&out, &ipv6, sizeof ipv6);
  return sizeof ipv6;
}

// The address in our form.
inline IpAddress to_ip_address(const in_addr& address) noexcept {
  uint8_t bytes[4];
  std::memcpy(bytes, &address, sizeof bytes);
  return IpAddress::ipv4(bytes);
}

// The address in our form, IPv6 also where it is mapped from IPv4.
inline IpAddress to_ip_address(const in6_addr& address) noexcept {
  uint8_t bytes[16];
  std::memcpy(bytes, &address, sizeof bytes);
  return IpAddress::ipv6(bytes);
}

// Anything but AF_INET and AF_INET6 gives 0.0.0.0:0.
inline UdpAddress from_sockaddr(const sockaddr_storage& from) noexcept {
  if (from.ss_family == AF_INET) {
    sockaddr_in ipv4;
    std::memcpy(&ipv4, &from, sizeof ipv4);
    return {to_ip_address(ipv4.sin_addr), ntohs(ipv4.sin_port), 0};
  }
  if (from.ss_family == AF_INET6) {
    sockaddr_in6 ipv6;
    std::memcpy(&ipv6, &from, sizeof ipv6);
    return {to_ip_address(ipv6.sin6_addr), ntohs(ipv6.sin6_port), ipv6.sin6_scope_id};
  }
  return {};
}

}  // namespace vpn::io
