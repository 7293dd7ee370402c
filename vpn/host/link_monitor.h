// LinkMonitor: hears from the kernel when an interface's MTU or state changes, or when it is removed, and
// when anything of the network around it does.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/host/netlink_listener.h"

namespace vpn::host {

class LinkMonitor {
 public:
  struct Handlers {
    std::function<void(uint16_t mtu)> on_mtu;  // with every change of the link, changed or not
    std::function<void(bool is_up)> on_state;  // the same, of whether it is administratively up
    std::function<void()> on_removed;
    std::function<void()> on_network;  // a link, an address, a route or a rule of the rest of the host
    // More has changed than could be heard of one by one, after what could; on_loss and on_network follow.
    std::function<void()> on_overrun;
    // An address, a route or a rule was removed that may be the interface's, or it has gone up or down, which
    // takes some along without a word.
    std::function<void()> on_loss;
  };
  // Hears of the namespace the caller is in, from now on; `interface` is an index. All handlers must be
  // callable; hear() calls them.
  [[nodiscard]] static Result<std::unique_ptr<LinkMonitor>, Error> open(unsigned interface,
                                                                        Handlers handlers);
  // Readable when there is something to hear; then call hear().
  [[nodiscard]] int fd() const noexcept { return listener_->fd(); }
  void hear();

 private:
  void take_link(nl_msg* message);
  void take_removal(nl_msg* message);

  LinkMonitor(std::unique_ptr<NetlinkListener> listener, unsigned interface, Handlers handlers);

  std::unique_ptr<NetlinkListener> listener_;
  unsigned interface_;
  Handlers handlers_;
};

}  // namespace vpn::host
