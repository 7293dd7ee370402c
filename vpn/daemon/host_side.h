// HostSide: what one tunnel makes of the host around it, from before its interface exists until it is gone.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/config.h"
#include "vpn/config/device_change.h"
#include "vpn/daemon/log.h"
#include "vpn/host/host_state.h"
#include "vpn/host/netlink.h"

namespace vpn::daemon {

// A tunnel's MTU where no route to an endpoint tells: what fits Ethernet's 1500 bytes over IPv6.
inline constexpr uint16_t kDefaultMtu = 1420;

class HostSide {
 public:
  // `log` must outlive it.
  HostSide(std::string interface, Log& log) noexcept : interface_(std::move(interface)), log_(log) {}

  // Opens the journal and undoes what an earlier daemon has left, but for a kill switch that `config` wants
  // too.
  [[nodiscard]] Result<bool, Error> open(const config::Config& config);
  // The mark of a configuration's encrypted packets; 0: none.
  [[nodiscard]] uint32_t mark_for(const config::Config& config) const;
  // The tunnel's MTU: as configured, else what fits the routes to all endpoints.
  [[nodiscard]] uint16_t mtu_for(const config::Config& config, const config::ResolvedEndpoints& resolved);
  // Nothing, or why bring_up, or change_to, would fail; nothing is changed.
  [[nodiscard]] Result<bool, Error> check(const config::Config& config,
                                          const config::ResolvedEndpoints& resolved, const std::string& file);
  // The addresses that a name had when it was last resolved, by this daemon or one before it that crashed;
  // empty: not known.
  [[nodiscard]] std::vector<UdpAddress> remembered(const config::EndpointName& name) const;
  void remember(const config::ResolvedEndpoints& resolved);

  // Makes everything: the firewall first, routes and name servers last.
  [[nodiscard]] Result<bool, Error> bring_up(const config::Config& config, unsigned interface, uint16_t port,
                                             const config::ResolvedEndpoints& resolved);
  // What is asked of the host from now on comes from a confined process; that one, which must outlive this,
  // sets the name servers.
  void set_dns_by(const host::DnsProcess& process) noexcept { state_->set_dns_by(process); }
  [[nodiscard]] Result<bool, Error> change_to(const config::Config& config);
  // The kill switch lets encrypted packets out to these, from now on.
  void follow_endpoints(const config::Config& config, std::vector<UdpAddress> endpoints);
  // The encrypted packets come to this port, from now on.
  void follow_listen_port(const config::Config& config, uint16_t port);
  // The firewall has the cgroups as they are, from now on.
  void follow_cgroups(const config::Config& config);
  // A full tunnel leaves to other tunnels of ours what is theirs, and any other one to other interfaces the
  // addresses that they have too, from now on.
  void follow_other_interfaces(const config::Config& config);
  // The routes of these peers have these MTUs, from now on, and those of all others the tunnel's.
  void follow_path_mtus(const config::Config& config, std::map<PublicKey, uint16_t> mtus);
  // Makes the firewall again where somebody else has taken it away, and says so.
  void restore_firewall();
  // Adds again what others have removed of the tunnel's addresses, routes and rules, and says so; says too
  // when somebody has taken the interface down, which is theirs to bring up. Returns whether anything was
  // missing.
  bool restore_network();
  // Undoes everything; tells of what could not be, or is not ours any more. Where it never `served` a kill
  // switch stays only if it stood before.
  void take_down(host::KillSwitchAtEnd kill_switch, bool served);

 private:
  void look_around(const config::Config& config, host::HostFacts& facts);
  [[nodiscard]] std::vector<host::OtherTunnel> other_tunnels();
  [[nodiscard]] std::set<IpAddress> shared_addresses(const config::Config& config);
  void tell_of_other_tunnels(const config::Config& config);
  void tell_of_cgroups(const config::Config& config);
  void tell_notes();

  std::string interface_;
  Log& log_;
  std::optional<host::Netlink> netlink_;
  std::unique_ptr<host::HostState> state_;
  host::HostFacts facts_;
  uint32_t free_mark_ = host::kDefaultMark;  // where the configuration names none
  bool found_kill_switch_ = false;           // of an earlier daemon
  unsigned interface_index_ = 0;
  bool is_up_ = false;
  bool is_link_up_ = true;
  std::vector<std::string> missing_cgroups_;  // that was told of
};

}  // namespace vpn::daemon
