#include "vpn/daemon/host_side.h"

#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "vpn/host/cgroups.h"
#include "vpn/host/config_check.h"
#include "vpn/host/forwarding.h"
#include "vpn/host/host_change.h"
#include "vpn/host/sessions.h"
#include "vpn/host/tunnel_mtu.h"

namespace vpn::daemon {
namespace {

std::vector<UdpAddress> sorted(std::vector<UdpAddress> addresses) {
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  return addresses;
}

std::vector<UdpAddress> addresses_of(const config::ResolvedEndpoints& resolved) {
  std::vector<UdpAddress> addresses;
  for (const auto& [name, all] : resolved) addresses.insert(addresses.end(), all.begin(), all.end());
  return sorted(std::move(addresses));
}

bool is_among(const std::vector<host::OtherTunnel>& tunnels, const IpPrefix& network) {
  return std::any_of(tunnels.begin(), tunnels.end(),
                     [&](const host::OtherTunnel& one) { return one.network == network; });
}

// Routes need the interface up. What shuts the host comes before that, and the addresses, so that no packet
// leaves without its source.
bool is_before_up(const host::HostChange& change) {
  return std::holds_alternative<host::SetFirewall>(change) ||
         std::holds_alternative<host::AddAddress>(change);
}

// The mark is also the number of a full tunnel's table: the first whose table is empty, as wg-quick chooses.
uint32_t find_free_mark(host::Netlink& netlink) {
  uint32_t mark = host::kDefaultMark;
  while (netlink.has_routes(mark)) ++mark;
  return mark;
}

}  // namespace

uint32_t HostSide::mark_for(const config::Config& config) const {
  if (config.interface.fwmark != 0) return config.interface.fwmark;
  return host::needs_mark(config) ? free_mark_ : 0;
}

uint16_t HostSide::mtu_for(const config::Config& config, const config::ResolvedEndpoints& resolved) {
  if (config.interface.mtu) return *config.interface.mtu;
  const uint32_t mark = mark_for(config);
  std::optional<uint16_t> least;
  for (const UdpAddress& endpoint : addresses_of(resolved)) {
    const auto route = netlink_->route_to(endpoint.address, mark);
    if (!route || route->mtu == 0) continue;
    const uint16_t inner = host::tunnel_mtu_over(route->mtu, endpoint.address.family());
    least = std::min(least.value_or(inner), inner);
  }
  return least.value_or(kDefaultMtu);
}

Result<bool, Error> HostSide::open(const config::Config& config) {
  auto netlink = host::Netlink::open();
  if (!netlink) return fail(std::move(netlink.error()));
  netlink_ = std::move(*netlink);
  auto state = host::HostState::open(*netlink_, interface_);
  if (!state) return fail(std::move(state.error()));
  state_ = std::move(*state);
  const size_t found = state_->applied().size();
  if (found == 0) {
    free_mark_ = find_free_mark(*netlink_);
    return true;
  }
  log_.warning("an earlier daemon has ended without undoing what it changed",
               {{"changes", std::to_string(found)}});
  const bool keeps = config.interface.kill_switch;
  for (const Error& error :
       state_->undo_all(keeps ? host::KillSwitchAtEnd::kLeave : host::KillSwitchAtEnd::kLift)) {
    log_.warning("not undone", {{"error", error.to_string()}});
  }
  tell_notes();
  free_mark_ = find_free_mark(*netlink_);
  found_kill_switch_ = !state_->applied().empty();
  if (found_kill_switch_) return true;
  // The file went with the last change.
  state_.reset();
  state = host::HostState::open(*netlink_, interface_);
  if (!state) return fail(std::move(state.error()));
  state_ = std::move(*state);
  return true;
}

Result<bool, Error> HostSide::check(const config::Config& config, const config::ResolvedEndpoints& resolved,
                                    const std::string& file) {
  host::HostFacts facts = facts_;
  facts.mark = mark_for(config);
  if (!is_up_) {
    facts.interface = interface_;
    facts.endpoints = addresses_of(resolved);
    facts.has_ipv6 = access("/proc/sys/net/ipv6", F_OK) == 0;
    facts.cgroup_folder = host::cgroup_folder();
    facts.has_nftables = host::Firewall::open().has_value();
    facts_ = facts;
  }
  std::optional<std::vector<IpPrefix>> others;  // asked for once, and only where they matter
  const auto leads_past = [&](const IpAddress& to, unsigned longer_than) {
    if (!others) others = netlink_->destinations_of_others(interface_index_);
    return std::any_of(others->begin(), others->end(),
                       [&](const IpPrefix& one) { return one.length > longer_than && one.contains(to); });
  };
  if (auto fine = host::check_config(config, resolved, facts.mark, leads_past, file); !fine) return fine;
  auto fine = state_->check(host::plan_host(config, facts));
  if (!fine && fine.error().where == interface_) fine.error().where = file;
  return fine;
}

std::vector<UdpAddress> HostSide::remembered(const config::EndpointName& name) const {
  std::vector<UdpAddress> addresses;
  if (!state_) return addresses;
  const auto& known = state_->journal().addresses();
  const auto found = known.find(name.to_string());
  if (found == known.end()) return addresses;
  std::istringstream words(found->second);
  std::string word;
  while (words >> word) {
    if (const auto address = UdpAddress::parse(word)) addresses.push_back(*address);
  }
  return addresses;
}

void HostSide::remember(const config::ResolvedEndpoints& resolved) {
  if (!state_) return;
  std::map<std::string, std::string> texts;
  for (const auto& [name, addresses] : resolved) {
    std::string& text = texts[name.to_string()];
    for (const UdpAddress& address : addresses) text += (text.empty() ? "" : " ") + address.to_string();
  }
  state_->journal().note_addresses(texts);
}

Result<bool, Error> HostSide::bring_up(const config::Config& config, unsigned interface, uint16_t port,
                                       const config::ResolvedEndpoints& resolved) {
  is_up_ = true;
  interface_index_ = interface;
  facts_.listen_port = port;
  facts_.endpoints = addresses_of(resolved);
  look_around(config, facts_);
  tell_of_cgroups(config);
  state_->set_interface(interface);
  const host::HostPlan plan = host::plan_host(config, facts_);
  host::HostPlan first;
  std::copy_if(plan.begin(), plan.end(), std::back_inserter(first), is_before_up);
  if (auto changed = state_->change_to(first); !changed) return changed;
  if (auto up = netlink_->set_up(interface); !up) return up;
  auto changed = state_->change_to(plan);
  if (changed) tell_of_other_tunnels(config);
  return changed;
}

// What split tunnels of ours have in the main table, before which a full tunnel's comes. Of a tunnel of
// somebody else's nobody has said here that it may take anything.
std::vector<host::OtherTunnel> HostSide::other_tunnels() {
  const std::vector<std::string> ours = host::Journal::interfaces();
  std::vector<host::OtherTunnel> others;
  for (const auto& route : netlink_->routes_into_other_tunnels(interface_index_)) {
    char name[IF_NAMESIZE];
    const bool is_ours = route.destination.length != 0 && if_indextoname(route.interface, name) != nullptr &&
                         std::find(ours.begin(), ours.end(), name) != ours.end();
    if (is_ours && !is_among(others, route.destination))
      others.push_back({route.destination, route.interface, name});
  }
  return others;
}

// What shuts all others out of an address would cut off who has the same one elsewhere. But a LAN may well
// give us the tunnel's address to get at its connections, and what takes everything is for such LANs.
std::set<IpAddress> HostSide::shared_addresses(const config::Config& config) {
  std::set<IpAddress> shared;
  if (host::needs_mark(config)) return shared;
  const std::set<IpAddress> others = netlink_->addresses_of_others(interface_index_);
  for (const IpPrefix& own : config.interface.addresses) {
    if (others.contains(own.address)) shared.insert(own.address);
  }
  return shared;
}

// A full tunnel's table comes before main, where others have their routes.
void HostSide::tell_of_other_tunnels(const config::Config& config) {
  if (!host::is_full_tunnel(config)) return;
  const auto is_in = [](const std::vector<IpPrefix>& prefixes, const IpPrefix& prefix) {
    return std::any_of(prefixes.begin(), prefixes.end(), [&](const IpPrefix& one) {
      return one.length <= prefix.length && one.contains(prefix.address);
    });
  };
  for (const auto& route : netlink_->routes_into_other_tunnels(interface_index_)) {
    if (is_among(facts_.other_tunnels, route.destination) ||
        is_in(config.interface.allow_lan, route.destination))
      continue;
    char name[IF_NAMESIZE] = "";
    log_.warning("what another tunnel has a route to goes into this one, which takes everything",
                 {{"network", route.destination.to_string()},
                  {"other", if_indextoname(route.interface, name) == nullptr ? "" : name},
                  {"remedy", "name it in AllowLan here, or take one of the two down"}});
  }
}

// What the plan needs to know of the host as it is before the tunnel changes it, or at this moment.
void HostSide::look_around(const config::Config& config, host::HostFacts& facts) {
  // M5.5: those that stand at the moment when the tunnel takes everything.
  const bool is_full = host::is_full_tunnel(config);
  if (is_full && !facts.sessions) facts.sessions = host::sessions_from_outside();
  if (!is_full) facts.sessions.reset();
  facts.shared_addresses = shared_addresses(config);
  facts.other_tunnels = is_full ? other_tunnels() : std::vector<host::OtherTunnel>();
  const bool is_gateway = host::is_gateway(config);
  if (is_gateway && !facts.forwarding) facts.forwarding = host::look_before_forwarding(*netlink_);
  if (!is_gateway) facts.forwarding.reset();
  facts.cgroup_ids = host::cgroup_ids(host::cgroups_of(config.interface));
}

void HostSide::tell_of_cgroups(const config::Config& config) {
  std::vector<std::string> missing;
  for (const std::string& group : host::cgroups_of(config.interface)) {
    if (!facts_.cgroup_ids.contains(group)) missing.push_back(group);
  }
  if (std::exchange(missing_cgroups_, missing) == missing || missing.empty()) return;
  log_.warning("a cgroup is not there, and is waited for", {{"cgroup", host::cgroup_path(missing.front())}});
}

Result<bool, Error> HostSide::change_to(const config::Config& config) {
  host::HostFacts facts = facts_;
  facts.mark = mark_for(config);
  look_around(config, facts);
  auto changed = state_->change_to(host::plan_host(config, facts));
  if (changed) facts_ = std::move(facts);
  tell_of_cgroups(config);
  tell_notes();
  return changed;
}

void HostSide::follow_endpoints(const config::Config& config, std::vector<UdpAddress> endpoints) {
  endpoints = sorted(std::move(endpoints));
  if (!state_ || !config.interface.kill_switch || endpoints == facts_.endpoints) return;
  facts_.endpoints = std::move(endpoints);
  if (auto changed = change_to(config); !changed)
    log_.warning("the kill switch does not follow the endpoint", {{"error", changed.error().to_string()}});
}

void HostSide::follow_listen_port(const config::Config& config, uint16_t port) {
  if (!state_ || std::exchange(facts_.listen_port, port) == port) return;
  if (auto changed = change_to(config); !changed)
    log_.warning("the firewall does not follow the port", {{"error", changed.error().to_string()}});
}

void HostSide::follow_cgroups(const config::Config& config) {
  if (!state_ || host::cgroup_ids(host::cgroups_of(config.interface)) == facts_.cgroup_ids) return;
  if (auto changed = change_to(config); !changed)
    log_.warning("the firewall does not follow a cgroup", {{"error", changed.error().to_string()}});
}

void HostSide::follow_other_interfaces(const config::Config& config) {
  if (!state_ || !is_up_) return;
  const bool has_same_tunnels = !host::is_full_tunnel(config) || other_tunnels() == facts_.other_tunnels;
  if (has_same_tunnels && shared_addresses(config) == facts_.shared_addresses) return;
  if (auto changed = change_to(config); !changed)
    log_.warning("what is another interface's is not left to it", {{"error", changed.error().to_string()}});
}

void HostSide::follow_path_mtus(const config::Config& config, std::map<PublicKey, uint16_t> mtus) {
  facts_.path_mtus = std::move(mtus);
  if (!state_) return;
  if (auto changed = change_to(config); !changed)
    log_.warning("the routes do not follow the path MTU", {{"error", changed.error().to_string()}});
}

void HostSide::restore_firewall() {
  if (!state_) return;
  const auto restored = state_->restore_firewall();
  if (!restored) {
    log_.error("the tunnel's firewall was removed by somebody else, and cannot be made again",
               {{"error", restored.error().to_string()}});
  } else if (*restored) {
    log_.warning("the tunnel's firewall was removed by somebody else, and is made again");
  }
}

bool HostSide::restore_network() {
  if (!state_ || !is_up_) return false;
  const auto restored = state_->restore_network();
  if (std::exchange(is_link_up_, restored.is_up) && !restored.is_up) {
    log_.warning("somebody has taken the interface down, and its routes with it",
                 {{"remedy", "'ip link set " + interface_ + " up' or 'vpn down " + interface_ + "'"}});
  }
  if (!restored.failures.empty()) {
    log_.warning("what somebody else has removed cannot be added again",
                 {{"error", restored.failures.front().to_string()},
                  {"changes", std::to_string(restored.failures.size())}});
  }
  if (!restored.added.empty()) {
    log_.warning("what somebody else has removed is added again",
                 {{"first", host::to_string(restored.added.front())},
                  {"changes", std::to_string(restored.added.size())}});
  }
  return !restored.added.empty() || !restored.failures.empty();
}

void HostSide::take_down(host::KillSwitchAtEnd kill_switch, bool served) {
  if (!state_) return;
  if (!served && !found_kill_switch_) kill_switch = host::KillSwitchAtEnd::kLift;
  if (!is_up_ && found_kill_switch_) kill_switch = host::KillSwitchAtEnd::kLeave;
  for (const Error& error : state_->undo_all(kill_switch)) {
    log_.warning("not undone",
                 {{"error", error.to_string()}, {"remedy", "run 'vpn cleanup " + interface_ + "' as root"}});
  }
  tell_notes();
  if (kill_switch == host::KillSwitchAtEnd::kLeave && !state_->applied().empty())
    log_.warning("the kill switch stands", {{"remedy", "'vpn down " + interface_ + "' lifts it"}});
  state_.reset();
}

void HostSide::tell_notes() {
  for (const std::string& note : state_->take_notes()) log_.warning("left alone", {{"what", note}});
}

}  // namespace vpn::daemon
