#include "vpn/host/host_change.h"

#include <algorithm>

namespace vpn::host {
namespace {

using config::Config;
using config::RouteTable;

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

const char* family_name(IpFamily family) {
  return family == IpFamily::kIpv4 ? "IPv4" : "IPv6";
}

// Every allowed-IP of every peer once, the longest prefixes first, as wg-quick adds them.
std::vector<IpPrefix> destinations(const Config& config) {
  std::vector<IpPrefix> all;
  for (const auto& peer : config.peers)
    all.insert(all.end(), peer.allowed_ips.begin(), peer.allowed_ips.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  std::stable_sort(all.begin(), all.end(),
                   [](const IpPrefix& a, const IpPrefix& b) { return a.length > b.length; });
  return all;
}

bool is_default(const IpPrefix& prefix) {
  return prefix.length == 0;
}

// Whether the kernel's own route of one of our addresses leads there already.
bool is_on_link(const Config& config, const IpPrefix& prefix) {
  const auto& addresses = config.interface.addresses;
  return std::any_of(addresses.begin(), addresses.end(), [&](const IpPrefix& address) {
    return address.length <= prefix.length && address.contains(prefix.address);
  });
}

void plan_full_tunnel(const IpPrefix& prefix, uint32_t mark, HostPlan& plan) {
  const IpFamily family = prefix.address.family();
  plan.emplace_back(AddRoute{prefix, mark});
  plan.emplace_back(AddMarkRule{family, mark, mark});
  plan.emplace_back(AddSuppressRule{family});
  // Lets the reverse-path filter see the mark of encrypted packets, which come in against the main table's
  // default.
  if (family == IpFamily::kIpv4) plan.emplace_back(SetSysctl{"net/ipv4/conf/all/src_valid_mark", "1"});
}

}  // namespace

std::string to_string(const HostChange& change) {
  return std::visit(
      Overloaded{
          [](const AddAddress& add) { return "address " + add.address.to_string(); },
          [](const AddRoute& add) {
            return "route " + add.destination.to_string() + " in table " + std::to_string(add.table);
          },
          [](const AddMarkRule& add) {
            return std::string(family_name(add.family)) + " rule not fwmark " + std::to_string(add.mark) +
                   " table " + std::to_string(add.table);
          },
          [](const AddSuppressRule& add) {
            return std::string(family_name(add.family)) + " rule table main suppress_prefixlength 0";
          },
          [](const SetSysctl& set) { return "sysctl " + set.name + " = " + set.value; },
      },
      change);
}

HostPlan plan_host(const Config& config, uint32_t mark) {
  HostPlan plan;
  for (const IpPrefix& address : config.interface.addresses) plan.emplace_back(AddAddress{address});
  const RouteTable& table = config.interface.table;
  if (table.kind == RouteTable::Kind::kOff) return plan;
  for (const IpPrefix& prefix : destinations(config)) {
    if (table.kind == RouteTable::Kind::kNumber) {
      plan.emplace_back(AddRoute{prefix, table.number});
    } else if (is_default(prefix)) {
      plan_full_tunnel(prefix, mark, plan);
    } else if (!is_on_link(config, prefix)) {
      plan.emplace_back(AddRoute{prefix, kMainTable});
    }
  }
  return plan;
}

bool needs_mark(const Config& config) {
  if (config.interface.table.kind != RouteTable::Kind::kAuto) return false;
  const std::vector<IpPrefix> all = destinations(config);
  return std::any_of(all.begin(), all.end(), is_default);
}

}  // namespace vpn::host
