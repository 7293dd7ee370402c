// FirewallMonitor: hears from the kernel when the tunnel's nftables table has gone. Whoever reloads the
// host's own rules ('nft flush ruleset', a restart of nftables.service) takes it away with them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"

struct nl_sock;
struct nl_msg;

namespace vpn::host {

class FirewallMonitor {
 public:
  // Hears of the namespace the caller is in, from now on, of the inet table of this name. `on_gone` must be
  // callable; hear() calls it.
  [[nodiscard]] static Result<std::unique_ptr<FirewallMonitor>, Error> open(std::string table,
                                                                            std::function<void()> on_gone);
  ~FirewallMonitor();
  FirewallMonitor(const FirewallMonitor&) = delete;
  FirewallMonitor& operator=(const FirewallMonitor&) = delete;

  // Readable when there is something to hear; then call hear().
  [[nodiscard]] int fd() const noexcept;
  void hear();

 private:
  void take(nl_msg* message) noexcept;

  FirewallMonitor(nl_sock* socket, std::string table, std::function<void()> on_gone);

  nl_sock* socket_;
  std::string table_;
  std::function<void()> on_gone_;
  bool gone_ = false;
};

}  // namespace vpn::host
