// FirewallMonitor: hears from the kernel when the tunnel's nftables table has gone, or more has happened than
// it could be told of, so that it may have. Whoever reloads the host's own rules ('nft flush ruleset', a
// restart of nftables.service) takes it away with them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/host/netlink_listener.h"

namespace vpn::host {

class FirewallMonitor {
 public:
  // Hears of the namespace the caller is in, from now on, of the inet table of this name. `on_gone` must be
  // callable; hear() calls it.
  [[nodiscard]] static Result<std::unique_ptr<FirewallMonitor>, Error> open(std::string table,
                                                                            std::function<void()> on_gone);
  // Readable when there is something to hear; then call hear().
  [[nodiscard]] int fd() const noexcept { return listener_->fd(); }
  void hear();

 private:
  void take(nl_msg* message) noexcept;

  FirewallMonitor(std::unique_ptr<NetlinkListener> listener, std::string table,
                  std::function<void()> on_gone);

  std::unique_ptr<NetlinkListener> listener_;
  std::string table_;
  std::function<void()> on_gone_;
  bool may_be_gone_ = false;
};

}  // namespace vpn::host
