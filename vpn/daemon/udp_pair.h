// UdpPair: the IPv4 and the IPv6 socket of one device, on one port. Either may be missing, where the host has
// no such family; both are of a device whose interface is down.
#pragma once

#include <optional>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/io/udp_socket.h"

namespace vpn::daemon {

class UdpPair {
 public:
  // No sockets: what is sent counts as unreachable.
  UdpPair() = default;
  struct Options {
    uint16_t port = 0;  // 0: any that is free for both families
    uint32_t fwmark = 0;
    bool offload = true;
    bool splits = true;  // what the link does not take; false: no more than must get through everywhere
    io::SystemCalls* calls = &io::system_calls();
  };
  // Opens both, or one where the host has no other family. An error when the port is taken in either, or no
  // port was found that is free in both.
  [[nodiscard]] static Result<UdpPair, Error> open(const Options& options);
  // `count` pairs on one port; each remote address and port is always heard by the same of them. The port is
  // an error when anybody else has it, another such group too.
  [[nodiscard]] static Result<std::vector<UdpPair>, Error> open_group(const Options& options, size_t count);

  // The port of both, in host order; 0 without sockets.
  [[nodiscard]] uint16_t port() const noexcept;
  // Marks what both send from now on (SO_MARK); 0 marks nothing. Takes CAP_NET_ADMIN.
  [[nodiscard]] Result<bool, Error> set_fwmark(uint32_t fwmark) noexcept;
  // Null where the host does not have the family.
  [[nodiscard]] io::UdpSocket* of(IpFamily family) noexcept;
  // Sends in order. Runs to a family that is missing are counted as unreachable.
  void send_batch(std::span<const io::SendRun> runs) noexcept;
  // Goes on counting where the pair that this one replaces has stopped.
  void continue_counts(const UdpPair& before) noexcept;
  [[nodiscard]] io::SendCounts counts() const noexcept;
  [[nodiscard]] uint64_t receive_overflows() const noexcept;
  [[nodiscard]] std::string offload_text() const;  // "gso gro", "off"

  // Calls visit(io::UdpSocket&) for each there is, IPv4 first.
  template <typename Visitor>
  void for_each(Visitor&& visit) {
    if (ipv4_) visit(*ipv4_);
    if (ipv6_) visit(*ipv6_);
  }

 private:
  [[nodiscard]] Result<bool, Error> share_port() noexcept;
  [[nodiscard]] Result<UdpPair, Error> open_another(const Options& options) const;

  std::optional<io::UdpSocket> ipv4_, ipv6_;
  uint64_t without_family_ = 0;  // datagrams
  io::SendCounts counts_before_;
  uint64_t overflows_before_ = 0;
};

}  // namespace vpn::daemon
