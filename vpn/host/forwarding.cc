#include "vpn/host/forwarding.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "vpn/host/sysctl.h"

namespace vpn::host {
namespace {

// Of the interfaces, and "default", those that do not say what ceasing to forward will make of all.
std::vector<SetSysctl> apart_from_all(const std::string& folder, const char* along_with) {
  std::vector<SetSysctl> apart;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/sys/" + folder, ignored)) {
    const std::string interface = entry.path().filename();
    std::string name = folder;
    name.append("/").append(interface).append("/forwarding");
    const auto value = read_sysctl(name);
    if (interface != "all" && value && *value != "0") apart.push_back({name, "", along_with});
  }
  std::sort(apart.begin(), apart.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return apart;
}

}  // namespace

ForwardingFacts look_before_forwarding(Netlink& netlink) {
  ForwardingFacts facts;
  facts.ipv4 = apart_from_all("net/ipv4/conf", kForwardIpv4);
  facts.ipv4.push_back({"net/ipv4/conf/all/accept_redirects", "", kForwardIpv4});
  facts.ipv6 = apart_from_all("net/ipv6/conf", kForwardIpv6);
  for (const std::string& interface : netlink.interfaces_with_advertised_default()) {
    // What is 0 has another program listen to the advertisements.
    const auto accepts = read_sysctl("net/ipv6/conf/" + interface + "/accept_ra");
    if (accepts && *accepts == "1") facts.listening.push_back(interface);
  }
  return facts;
}

}  // namespace vpn::host
