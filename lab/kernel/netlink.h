// Netlink: interfaces, addresses and routes of one network namespace, by libnl-route. Every call waits for
// the kernel's answer; an Error names the interface.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "lab/error.h"
#include "vpn/base/ip_address.h"

struct nl_sock;

namespace lab {

using MacAddress = std::array<uint8_t, 6>;

struct InterfaceCounters {
  uint64_t received_packets = 0;
  uint64_t received_bytes = 0;
  uint64_t sent_packets = 0;
  uint64_t sent_bytes = 0;
};

class Netlink {
 public:
  // A socket of the calling thread's network namespace; it stays in that namespace wherever the thread goes
  // later.
  [[nodiscard]] static Result<Netlink> open();

  // A veth pair: `name` here, `peer` in the namespace `peer_namespace` is open on.
  [[nodiscard]] Result<void> create_veth(const std::string& name, const std::string& peer,
                                         int peer_namespace);
  [[nodiscard]] Result<void> create_bridge(const std::string& name);
  // An interface of the kernel's own WireGuard.
  [[nodiscard]] Result<void> create_wireguard(const std::string& name);
  [[nodiscard]] Result<void> set_master(const std::string& name, const std::string& bridge);
  [[nodiscard]] Result<void> set_up(const std::string& name, bool up);
  [[nodiscard]] Result<void> set_mtu(const std::string& name, unsigned mtu_bytes);
  [[nodiscard]] Result<void> set_mac(const std::string& name, const MacAddress& mac);
  // Without duplicate address detection: the address can be used at once.
  [[nodiscard]] Result<void> add_address(const std::string& name, const vpn::IpPrefix& address);
  // At least one of `via` and `interface` is given. A route that is there already is left as it is.
  [[nodiscard]] Result<void> add_route(const vpn::IpPrefix& to, const std::optional<vpn::IpAddress>& via,
                                       const std::string& interface, uint32_t metric = 0);
  // 0 where there is no such interface.
  [[nodiscard]] int index_of(const std::string& name);
  [[nodiscard]] Result<InterfaceCounters> counters_of(const std::string& name);

  [[nodiscard]] nl_sock* socket() const { return socket_.get(); }

 private:
  struct Free {
    void operator()(nl_sock* socket) const;
  };
  explicit Netlink(nl_sock* socket) : socket_(socket) {}

  std::unique_ptr<nl_sock, Free> socket_;
};

}  // namespace lab
