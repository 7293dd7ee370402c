#include "vpn/daemon/udp_pair.h"

#include <utility>

namespace vpn::daemon {
namespace {

constexpr int kFreePortAttempts = 16;  // a port that IPv4 has free may be taken for IPv6

bool is_missing_family(const Error& error) {
  return error.remedy.empty();
}

}  // namespace

Result<UdpPair, Error> UdpPair::open(const Options& options) {
  Error last;
  for (int attempt = 0; attempt < (options.port == 0 ? kFreePortAttempts : 1); ++attempt) {
    UdpPair pair;
    io::UdpOptions one{IpFamily::kIpv4, options.port, options.fwmark, options.offload, false};
    auto ipv4 = io::UdpSocket::open(one);
    if (ipv4) {
      one.port = ipv4->port();
      pair.ipv4_ = std::move(*ipv4);
    } else if (!is_missing_family(ipv4.error())) {
      return fail(std::move(ipv4.error()));
    }
    one.family = IpFamily::kIpv6;
    auto ipv6 = io::UdpSocket::open(one);
    if (ipv6) pair.ipv6_ = std::move(*ipv6);
    if (ipv6 || (is_missing_family(ipv6.error()) && pair.ipv4_)) return pair;
    last = std::move(ipv6.error());
  }
  return fail(std::move(last));
}

uint16_t UdpPair::port() const noexcept {
  return ipv4_ ? ipv4_->port() : ipv6_->port();
}

Result<bool, Error> UdpPair::set_fwmark(uint32_t fwmark) noexcept {
  if (ipv4_) {
    if (auto set = ipv4_->set_fwmark(fwmark); !set) return set;
  }
  return ipv6_ ? ipv6_->set_fwmark(fwmark) : true;
}

io::UdpSocket* UdpPair::of(IpFamily family) noexcept {
  auto& socket = family == IpFamily::kIpv4 ? ipv4_ : ipv6_;
  return socket ? &*socket : nullptr;
}

void UdpPair::send_batch(std::span<const io::SendRun> runs) noexcept {
  while (!runs.empty()) {
    const IpFamily family = runs.front().path.remote.address.family();
    size_t count = 1;
    while (count < runs.size() && runs[count].path.remote.address.family() == family) ++count;
    if (io::UdpSocket* socket = of(family)) {
      socket->send_batch(runs.first(count));
    } else {
      without_family_ += count;
    }
    runs = runs.subspan(count);
  }
}

io::SendCounts UdpPair::counts() const noexcept {
  io::SendCounts total;
  for (const auto* socket : {&ipv4_, &ipv6_}) {
    if (!*socket) continue;
    const io::SendCounts& one = (*socket)->counts();
    total.sent += one.sent;
    total.too_large += one.too_large;
    total.no_buffer += one.no_buffer;
    total.unreachable += one.unreachable;
    total.refused += one.refused;
    total.other += one.other;
  }
  total.unreachable += without_family_;
  return total;
}

uint64_t UdpPair::receive_overflows() const noexcept {
  return (ipv4_ ? uint64_t{ipv4_->receive_overflows()} : 0) +
         (ipv6_ ? uint64_t{ipv6_->receive_overflows()} : 0);
}

std::string UdpPair::offload_text() const {
  const io::UdpSocket& socket = ipv4_ ? *ipv4_ : *ipv6_;
  if (!socket.segments() && !socket.coalesces()) return "off";
  if (!socket.coalesces()) return "gso";
  return socket.segments() ? "gso gro" : "gro";
}

}  // namespace vpn::daemon
