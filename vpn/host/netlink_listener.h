// NetlinkListener: a socket that hears what the kernel tells of changes in the caller's network namespace.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>

#include "vpn/base/error.h"
#include "vpn/base/result.h"

struct nl_sock;
struct nl_msg;

namespace vpn::host {

class NetlinkListener {
 public:
  // Joins the multicast groups of a netlink family (NETLINK_ROUTE, …), from now on. The error has no place
  // and no remedy: the caller knows what it is for.
  [[nodiscard]] static Result<std::unique_ptr<NetlinkListener>, Error> open(
      int family, std::initializer_list<int> groups);
  ~NetlinkListener();
  NetlinkListener(const NetlinkListener&) = delete;
  NetlinkListener& operator=(const NetlinkListener&) = delete;

  // Readable when there is something to hear; then call hear().
  [[nodiscard]] int fd() const noexcept;
  // Calls `on_message` for each message there is, and then `on_overrun` when more has happened than the
  // socket could hold: what is asked for now is newer than all that was heard.
  void hear(const std::function<void(nl_msg*)>& on_message, const std::function<void()>& on_overrun);

 private:
  explicit NetlinkListener(nl_sock* socket) : socket_(socket) {}

  nl_sock* socket_;
};

}  // namespace vpn::host
