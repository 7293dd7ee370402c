// Netlink: links, addresses, routes and rules of the network namespace it was opened in, by libnl.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "vpn/base/error.h"
#include "vpn/base/ip_address.h"
#include "vpn/base/result.h"

struct nl_sock;
struct nl_msg;

namespace vpn::host {

// Nothing, or why not. EEXIST on adding and ESRCH and their like on removing are successes: the state is as
// asked.
using Done = Result<bool, Error>;  // the value: whether anything was changed

class Netlink {
 public:
  [[nodiscard]] static Result<Netlink, Error> open();

  [[nodiscard]] Done set_mtu(unsigned interface, uint16_t mtu);
  [[nodiscard]] Done set_up(unsigned interface);
  [[nodiscard]] Done delete_link(unsigned interface);
  [[nodiscard]] Result<uint32_t, Error> mtu_of(unsigned interface);

  [[nodiscard]] Done add_address(unsigned interface, const IpPrefix& address);
  [[nodiscard]] Done remove_address(unsigned interface, const IpPrefix& address);
  [[nodiscard]] Done add_route(unsigned interface, const IpPrefix& destination, uint32_t table);
  [[nodiscard]] Done remove_route(unsigned interface, const IpPrefix& destination, uint32_t table);

  // `not fwmark MARK table TABLE`, and `table main suppress_prefixlength 0`.
  [[nodiscard]] Done add_mark_rule(IpFamily family, uint32_t mark, uint32_t table);
  [[nodiscard]] Done remove_mark_rule(IpFamily family, uint32_t mark, uint32_t table);
  [[nodiscard]] Done add_suppress_rule(IpFamily family);
  [[nodiscard]] Done remove_suppress_rule(IpFamily family);

  // The MTU towards an address, by its route's metric or its interface's MTU; empty when there is no route.
  [[nodiscard]] std::optional<uint32_t> path_mtu(const IpAddress& to);

 private:
  struct CloseSocket {
    void operator()(nl_sock* socket) const noexcept;
  };
  explicit Netlink(nl_sock* socket) : socket_(socket) {}
  // Sends a request and waits for its acknowledgement; takes the message. 0, or a negative libnl error.
  int request(nl_msg* message);

  std::unique_ptr<nl_sock, CloseSocket> socket_;
};

}  // namespace vpn::host
