#include "vpn/daemon/udp_pair.h"

#include <utility>

namespace vpn::daemon {
namespace {

constexpr int kFreePortAttempts = 16;  // a port that IPv4 has free may be taken for IPv6

// An inner packet of 1280 bytes, which IPv6 needs everywhere, with header and tag.
constexpr size_t kLeastCarriedBytes = 1280 + 32;

io::UdpOptions socket_options(const UdpPair::Options& options) {
  io::UdpOptions one{
      .port = options.port, .fwmark = options.fwmark, .offload = options.offload, .calls = options.calls};
  if (!options.splits) one.split_up_to = kLeastCarriedBytes;
  return one;
}

bool is_missing_family(const Error& error) {
  return error.remedy.empty();
}

}  // namespace

Result<UdpPair, Error> UdpPair::open(const Options& options) {
  Error last;
  for (int attempt = 0; attempt < (options.port == 0 ? kFreePortAttempts : 1); ++attempt) {
    UdpPair pair;
    io::UdpOptions one = socket_options(options);
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

Result<std::vector<UdpPair>, Error> UdpPair::open_group(const Options& options, size_t count) {
  std::vector<UdpPair> pairs;
  // The first takes the port for itself, so that a port in use is found out; only then it shares it.
  auto first = open(options);
  if (!first) return fail(std::move(first.error()));
  if (count > 1) {
    if (auto shared = first->share_port(); !shared) return fail(std::move(shared.error()));
  }
  pairs.push_back(std::move(*first));
  while (pairs.size() < count) {
    auto another = pairs.front().open_another(options);
    if (!another) return fail(std::move(another.error()));
    pairs.push_back(std::move(*another));
  }
  return pairs;
}

Result<bool, Error> UdpPair::share_port() noexcept {
  if (ipv4_) {
    if (auto shared = ipv4_->share_port(); !shared) return shared;
  }
  return ipv6_ ? ipv6_->share_port() : true;
}

Result<UdpPair, Error> UdpPair::open_another(const Options& options) const {
  UdpPair pair;
  for (const IpFamily family : {IpFamily::kIpv4, IpFamily::kIpv6}) {
    if (!(family == IpFamily::kIpv4 ? ipv4_ : ipv6_)) continue;
    io::UdpOptions one = socket_options(options);
    one.family = family;
    one.port = port();
    one.reuse_port = true;
    auto socket = io::UdpSocket::open(one);
    if (!socket) return fail(std::move(socket.error()));
    (family == IpFamily::kIpv4 ? pair.ipv4_ : pair.ipv6_) = std::move(*socket);
  }
  return pair;
}

uint16_t UdpPair::port() const noexcept {
  if (!ipv4_ && !ipv6_) return 0;
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
      for (const io::SendRun& run : runs.first(count)) without_family_ += io::datagram_count(run);
    }
    runs = runs.subspan(count);
  }
}

void UdpPair::continue_counts(const UdpPair& before) noexcept {
  counts_before_ = before.counts();
  overflows_before_ = before.receive_overflows();
}

io::SendCounts UdpPair::counts() const noexcept {
  io::SendCounts total = counts_before_;
  for (const auto* socket : {&ipv4_, &ipv6_}) {
    if (*socket) total += (*socket)->counts();
  }
  total.unreachable += without_family_;
  return total;
}

uint64_t UdpPair::receive_overflows() const noexcept {
  return overflows_before_ + (ipv4_ ? uint64_t{ipv4_->receive_overflows()} : 0) +
         (ipv6_ ? uint64_t{ipv6_->receive_overflows()} : 0);
}

std::string UdpPair::offload_text() const {
  if (!ipv4_ && !ipv6_) return "off";
  const io::UdpSocket& socket = ipv4_ ? *ipv4_ : *ipv6_;
  if (!socket.segments() && !socket.coalesces()) return "off";
  if (!socket.coalesces()) return "gso";
  return socket.segments() ? "gso gro" : "gro";
}

}  // namespace vpn::daemon
