#include "vpn/host/firewall_rules.h"

#include <algorithm>
#include <cctype>
#include <cstdio>

namespace vpn::host {
namespace {

constexpr char kNamePorts[] = "{ 53, 853 }";

// Of a session from outside whose first packet came in, but which nobody here has accepted yet.
constexpr uint32_t offered_mark(uint32_t mark) noexcept {
  return mark + 2;
}

template <typename Items, typename ToText>
std::string braced(const Items& items, ToText to_text) {
  std::string text;
  for (const auto& item : items) text += (text.empty() ? "{ " : ", ") + to_text(item);
  return text.empty() ? text : text + " }";
}

template <typename Items, typename FamilyOf>
Items of_family(const Items& items, IpFamily family, FamilyOf family_of) {
  Items out;
  std::copy_if(items.begin(), items.end(), std::back_inserter(out),
               [&](const auto& item) { return family_of(item) == family; });
  return out;
}

std::string address_set(const std::vector<IpAddress>& addresses, IpFamily family) {
  const auto chosen = of_family(addresses, family, [](const IpAddress& one) { return one.family(); });
  return braced(chosen, [](const IpAddress& one) { return one.to_string(); });
}

// Without those that another covers: a set of intervals must not overlap.
std::string prefix_set(const std::vector<IpPrefix>& prefixes, IpFamily family) {
  const auto chosen = of_family(prefixes, family, [](const IpPrefix& one) { return one.address.family(); });
  std::vector<IpPrefix> widest;
  for (const IpPrefix& prefix : chosen) {
    const bool is_covered = std::any_of(chosen.begin(), chosen.end(), [&](const IpPrefix& other) {
      return other.length < prefix.length && other.contains(prefix.address);
    });
    const bool is_known = std::find(widest.begin(), widest.end(), prefix) != widest.end();
    if (!is_covered && !is_known) widest.push_back(prefix);
  }
  return braced(widest, [](const IpPrefix& one) { return one.to_string(); });
}

constexpr IpFamily kFamilies[] = {IpFamily::kIpv4, IpFamily::kIpv6};

std::string ip(IpFamily family) {
  return family == IpFamily::kIpv4 ? "ip" : "ip6";
}

class TableWriter {
 public:
  explicit TableWriter(const FirewallSpec& spec)
      : spec_(spec), tunnel_("\"" + spec.interface + "\""), mark_(std::to_string(spec.mark)) {}

  std::string write() {
    line("table inet " + table_name(spec_.interface) + " {");
    guard_own_addresses();
    if (spec_.full_tunnel) keep_sessions();
    if (!spec_.tunnel_cgroups.empty() || !spec_.bypass_cgroups.empty()) translate_cgroups();
    if (spec_.kill_switch) shut_all_but_tunnel();
    if (spec_.gateway) forward_for_peers();
    line("}");
    answer_no_arp();
    return std::move(text_);
  }

 private:
  void line(const std::string& text) { text_ += text + "\n"; }
  void chain(const std::string& name, const std::string& type) {
    line("chain " + name + " {");
    line("type " + type);
  }

  // CVE-2019-14899: who shares a link with us must not find out the tunnel's address, or connections over it.
  void guard_own_addresses() {
    chain("from_outside", "filter hook prerouting priority raw");
    for (const IpFamily family : kFamilies) {
      const std::string own = address_set(spec_.own_addresses, family);
      if (own.empty()) continue;
      line("iifname != " + tunnel_ + " " + ip(family) + " daddr " + own + " fib saddr type != local drop");
    }
    // Port shadow (CVE-2021-3773): what comes to our port is ours, whatever somebody behind a NAT has opened.
    // Where nobody may call us, the host's own firewall needs to see what answers.
    const bool is_called = spec_.gateway && spec_.answers_anyone;
    if (is_called) line("iifname != " + tunnel_ + " udp dport " + port() + " fib daddr type local notrack");
    line("}");
    if (is_called) {
      chain("encrypted_out", "filter hook output priority raw");
      line("oifname != " + tunnel_ + " udp sport " + port() + " notrack");
      line("}");
    }
    if (spec_.gateway) keep_own_port();
  }

  // Nobody's NAT gives our port to what is forwarded: a connection counts once its first packet has left.
  void keep_own_port() {
    chain("own_port", "filter hook postrouting priority srcnat + 10");
    line("meta iif != 0 udp sport " + port() + " fib saddr type local drop");
    line("}");
  }

  void answer_no_arp() {
    const std::string own = address_set(spec_.own_addresses, IpFamily::kIpv4);
    if (own.empty()) return;
    line("table arp " + table_name(spec_.interface) + " {");
    chain("from_outside", "filter hook input priority filter");
    line("iifname != " + tunnel_ + " arp daddr ip " + own + " drop");
    line("}");
    line("}");
  }

  // M5.5: a session from outside is answered the way it came. Only a session that somebody here accepted
  // counts (its SYN-ACK is the proof), so that nobody outside can open a way out for what we send.
  void keep_sessions() {
    const std::string offered = std::to_string(offered_mark(spec_.mark));
    chain("marks_in", "filter hook prerouting priority mangle");
    for (const std::string& mark : {mark_, std::to_string(tunnel_mark(spec_.mark))}) {
      line("ct direction reply ct mark " + mark + " meta mark set " + mark);
    }
    if (spec_.tunnel_cgroups.empty()) {
      // With the mark the reverse-path filter looks where the packet came from, not where we send to.
      line("iifname != { " + tunnel_ + ", \"lo\" } fib daddr type local meta mark set " + mark_);
      line("iifname != { " + tunnel_ + ", \"lo\" } ct direction original tcp flags & (syn|ack) == syn " +
           "fib daddr type local ct mark set " + offered);
    }
    line("}");
    chain("marks_out", "route hook output priority mangle");
    for (const std::string& group : those_there(spec_.bypass_cgroups)) {
      line(in_cgroup(group) + " ct mark set " + mark_ + " meta mark set " + mark_);
    }
    for (const std::string& group : those_there(spec_.tunnel_cgroups)) {
      const std::string mark = std::to_string(tunnel_mark(spec_.mark));
      line(in_cgroup(group) + " ct mark set " + mark + " meta mark set " + mark);
    }
    if (spec_.tunnel_cgroups.empty()) {
      line("ct direction reply ct mark " + offered + " tcp flags & (syn|ack) == (syn|ack) ct mark set " +
           mark_);
      line("ct direction reply ct mark " + mark_ + " meta mark set " + mark_);
      for (const IpFamily family : kFamilies) keep_sessions_of(family);
    }
    line("}");
  }

  void keep_sessions_of(IpFamily family) {
    const auto chosen =
        of_family(spec_.sessions, family, [](const TcpSession& one) { return one.remote.family(); });
    const std::string sessions = braced(chosen, [](const TcpSession& one) {
      return one.local.to_string() + " . " + std::to_string(one.local_port) + " . " + one.remote.to_string() +
             " . " + std::to_string(one.remote_port);
    });
    if (sessions.empty()) return;
    line(ip(family) + " saddr . tcp sport . " + ip(family) + " daddr . tcp dport " + sessions +
         " meta mark set " + mark_);
  }

  // A socket has chosen its source address before its packets are marked.
  void translate_cgroups() {
    chain("translate_cgroups", "nat hook postrouting priority srcnat");
    line("oifname != " + tunnel_ + " ct mark " + mark_ + " masquerade");
    line("oifname " + tunnel_ + " ct mark " + std::to_string(tunnel_mark(spec_.mark)) + " masquerade");
    line("}");
  }

  void shut_all_but_tunnel() {
    chain("kill_switch", "filter hook output priority filter; policy drop");
    line("oifname \"lo\" accept");
    // Whoever asks anything, asks the tunnel's own name servers.
    for (const IpFamily family : kFamilies) {
      const std::string servers = address_set(spec_.dns, family);
      const std::string others = servers.empty() ? "" : ip(family) + " daddr != " + servers + " ";
      const std::string of = "meta nfproto " + std::string(family == IpFamily::kIpv4 ? "ipv4 " : "ipv6 ");
      if (!spec_.dns.empty())
        line(of + "meta l4proto { tcp, udp } th dport " + kNamePorts + " " + others + "reject");
    }
    line("oifname " + tunnel_ + " accept");
    line("meta l4proto { tcp, udp } th dport " + std::string(kNamePorts) + " meta mark != " + mark_ +
         " reject");
    for (const std::string& other : spec_.other_tunnels) line("oifname \"" + other + "\" accept");
    for (const IpFamily family : kFamilies) let_out_encrypted(family);
    if (spec_.answers_anyone) line("meta mark " + mark_ + " udp sport " + port() + " accept");
    line("udp sport 68 udp dport 67 accept");
    line("ip6 saddr fe80::/10 udp sport 546 udp dport 547 accept");
    line(
        "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept");
    for (const IpFamily family : kFamilies) {
      const std::string lan = prefix_set(spec_.allow_lan, family);
      if (!lan.empty()) line(ip(family) + " daddr " + lan + " accept");
    }
    for (const std::string& group : those_there(spec_.bypass_cgroups)) line(in_cgroup(group) + " accept");
    line("reject with icmpx admin-prohibited");
    line("}");
    chain("kill_switch_forward", "filter hook forward priority filter; policy drop");
    line("oifname " + tunnel_ + " accept");
    line("iifname " + tunnel_ + " ct state established,related accept");
    if (spec_.gateway) line("iifname " + tunnel_ + " accept");
    line("}");
  }

  void let_out_encrypted(IpFamily family) {
    const auto chosen =
        of_family(spec_.endpoints, family, [](const UdpAddress& one) { return one.address.family(); });
    const std::string endpoints = braced(chosen, [](const UdpAddress& one) {
      return one.address.to_string() + " . " + std::to_string(one.port);
    });
    if (endpoints.empty()) return;
    line("meta mark " + mark_ + " " + ip(family) + " daddr . udp dport " + endpoints + " accept");
  }

  void forward_for_peers() {
    const std::string outer =
        spec_.masquerade.empty() ? "oifname != " + tunnel_ : "oifname \"" + spec_.masquerade + "\"";
    chain("translate_peers", "nat hook postrouting priority srcnat");
    // The larger part of the ports, without our own.
    const uint16_t own = spec_.listen_port;
    const std::string others =
        own > 32768 ? "1024-" + std::to_string(own - 1) : std::to_string(std::max(own + 1, 1024)) + "-65535";
    line("iifname " + tunnel_ + " " + outer + " meta l4proto udp masquerade to :" + others);
    line("iifname " + tunnel_ + " " + outer + " masquerade");
    line("}");
    chain("peers_forward", "filter hook forward priority mangle");
    if (!spec_.client_to_client) line("iifname " + tunnel_ + " oifname " + tunnel_ + " drop");
    // `rt mtu` is the smaller of the routes to both ends, and never raises what is there.
    for (const std::string way : {"iifname ", "oifname "}) {
      line(way + tunnel_ + " tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu");
    }
    line("}");
  }

  [[nodiscard]] std::string port() const { return std::to_string(spec_.listen_port); }
  // The kernel takes no rule for a cgroup that is not there.
  [[nodiscard]] std::vector<std::string> those_there(const std::vector<std::string>& groups) const {
    std::vector<std::string> there;
    std::copy_if(groups.begin(), groups.end(), std::back_inserter(there),
                 [this](const std::string& group) { return spec_.cgroup_ids.contains(group); });
    return there;
  }
  [[nodiscard]] std::string in_cgroup(const std::string& path) const {
    const auto level = 1 + std::count(path.begin(), path.end(), '/');
    return "socket cgroupv2 level " + std::to_string(level) + " \"" + spec_.cgroup_folder + path + "\"";
  }

  const FirewallSpec& spec_;
  std::string tunnel_;
  std::string mark_;
  std::string text_;
};

}  // namespace

std::string table_name(const std::string& interface) {
  std::string name = "vpn_";
  for (const char byte : interface) {
    if (std::isalnum(static_cast<unsigned char>(byte)) != 0) {
      name += byte;
    } else {
      char escaped[4];
      std::snprintf(escaped, sizeof escaped, "_%02x", static_cast<unsigned char>(byte));
      name += escaped;
    }
  }
  return name;
}

std::string no_firewall_commands(const std::string& interface) {
  // Deleting what is not there is an error; what was just added is there.
  std::string text;
  for (const std::string family : {"inet ", "arp "}) {
    for (const std::string verb : {"add", "delete"})
      text += verb + " table " + family + table_name(interface) + "\n";
  }
  return text;
}

std::string firewall_commands(const FirewallSpec& spec) {
  return no_firewall_commands(spec.interface) + TableWriter(spec).write();
}

}  // namespace vpn::host
