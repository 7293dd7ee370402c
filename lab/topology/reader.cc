#include "lab/topology/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "lab/impair/netem_limits.h"
#include "lab/topology/addresses.h"

namespace lab {
namespace {

constexpr uint64_t kMostCopies = 1000;

// The name that `pattern` ("client*") stands for without its star, or nothing where it has none.
std::optional<std::string> pattern_stem(const std::string& pattern) {
  if (pattern.empty() || pattern.back() != '*') return std::nullopt;
  return pattern.substr(0, pattern.size() - 1);
}

bool is_copy_of(const std::string& name, const std::string& stem) {
  return name.size() > stem.size() && name.starts_with(stem) &&
         std::all_of(name.begin() + static_cast<ptrdiff_t>(stem.size()), name.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const size_t start = text.find_first_not_of(' ', at);
    if (start == std::string::npos) break;
    at = std::min(text.find(' ', start), text.size());
    words.push_back(text.substr(start, at - start));
  }
  return words;
}

// Reports what the engine asked for cannot do of the weather, at first or later.
void check_engine(Section& section, const Link& link) {
  for (const Weather& weather : link.weather) {
    if (link.engine == Engine::kVeth && !(weather.initial.is_clear() && weather.schedule.empty())) {
      section.report("engine", "a link of engine veth has no weather",
                     "use engine = \"auto\", or leave impair and schedule out");
      return;
    }
    if (link.engine != Engine::kNetem) continue;
    const auto beyond =
        find_in_course(weather, [](const Impairment& one) { return !beyond_netem(one).empty(); });
    if (!beyond) continue;
    section.report("engine", "netem cannot do " + beyond_netem(*beyond),
                   "use engine = \"auto\", or change the weather");
    return;
  }
}

}  // namespace

void TopologyReader::read(const toml::table& root) {
  Section top(reading_, root, "");
  (void)top.child("parameters");
  topology_.about = top.text("about").value_or("");
  const auto hosts = top.children("host");
  read_hosts(hosts);
  read_switches(top.children("switch"));
  read_links(top.children("link"));
  assign_addresses();
  read_tunnels(top.children("tunnel"));
  read_routes(hosts);
  read_nats(hosts);
  read_services(top.children("service"));
  top.finish();
  if (topology_.hosts.empty()) reading_.report(1, "the topology has no host", "add [[host]] with a name");
  check_addresses();
}

bool TopologyReader::is_name_free(Section& section, const std::string& name, std::string_view kind,
                                  size_t longest) {
  if (!is_valid_name(name, longest)) {
    section.report("name", fmt::format("'{}' is no name for a {}", name, kind),
                   fmt::format("use letters, digits, '-' and '_', at most {} of them", longest));
    return false;
  }
  const auto taken = [&](const auto* other) {
    if (other == nullptr) return false;
    section.report("name", fmt::format("'{}' is the name of something at line {} already", name, other->line),
                   "give each host, switch and link a name of its own");
    return true;
  };
  return !taken(topology_.find_host(name)) && !taken(topology_.find_switch(name)) &&
         !taken(topology_.find_link(name));
}

void TopologyReader::read_hosts(std::vector<Section> sections) {
  for (Section& section : sections) {
    const std::string name = section.required_text("name", "left");
    const auto count = section.number("count", 1, kMostCopies);
    Host host;
    host.forward = section.flag("forward", false);
    host.line = section.line();
    (void)section.list("routes");  // read once addresses are known
    (void)section.child("nat");
    section.finish();
    if (name.empty()) continue;
    for (uint64_t copy = 1; copy <= count.value_or(1); ++copy) {
      host.name = count ? name + std::to_string(copy) : name;
      if (is_name_free(section, host.name, "host", kLongestName)) topology_.hosts.push_back(host);
    }
  }
}

void TopologyReader::read_switches(std::vector<Section> sections) {
  for (Section& section : sections) {
    Switch one;
    one.name = section.required_text("name", "internet");
    one.subnets = read_prefixes(section, "subnet");
    one.line = section.line();
    section.finish();
    if (!one.name.empty() && is_name_free(section, one.name, "switch", kLongestInterfaceName)) {
      topology_.switches.push_back(std::move(one));
    }
  }
}

std::vector<IpPrefix> TopologyReader::read_prefixes(Section& section, std::string_view key) {
  std::vector<IpPrefix> prefixes;
  for (const std::string& text : section.list(key)) {
    const auto prefix = IpPrefix::parse(text);
    if (prefix && text.find('/') != std::string::npos) {
      prefixes.push_back(*prefix);
    } else {
      section.report(key, fmt::format("'{}' is no address with a prefix length", text),
                     "write it as 192.0.2.0/24 or fd00::/64");
    }
  }
  return prefixes;
}

std::vector<std::string> TopologyReader::expand_hosts(Section& section, std::string_view key,
                                                      const std::string& pattern) {
  std::vector<std::string> names;
  const auto stem = pattern_stem(pattern);
  for (const Host& host : topology_.hosts) {
    if (stem ? is_copy_of(host.name, *stem) : host.name == pattern) names.push_back(host.name);
  }
  if (names.empty()) {
    section.report(key, fmt::format("there is no host '{}'", pattern),
                   "declare it with [[host]], or mend the name");
  }
  return names;
}

void TopologyReader::read_links(std::vector<Section> sections) {
  for (Section& section : sections) {
    Link link;
    link.line = section.line();
    link.name = section.required_text("name", "wan");
    const auto ends = section.list("ends");
    const auto subnets = read_prefixes(section, "subnet");
    link.mtu_bytes = static_cast<unsigned>(section.number("mtu", 68, 65535).value_or(1500));
    if (const auto engine = section.text("engine")) {
      if (const auto known = parse_engine(*engine)) {
        link.engine = *known;
      } else {
        section.report("engine", fmt::format("'{}' is no engine", *engine), "use auto, netem, wire or veth");
      }
    }
    if (ends.size() != 2 || ends[0] == ends[1]) {
      section.report("ends", "a link has two different ends", "write ends = [\"left\", \"right\"]");
      continue;
    }
    read_weather(section, {ends[0], ends[1]}, link.weather);
    check_engine(section, link);
    link.ends[0].node = ends[0];
    link.ends[1].node = ends[1];
    if (!link.name.empty()) add_link(section, std::move(link), subnets);
    (void)section.child("address");
    section.finish();
  }
}

void TopologyReader::add_link(Section& section, Link link, const std::vector<IpPrefix>& subnets) {
  // One end may be a pattern: then there is one link for each host it stands for, numbered as the hosts are.
  const std::string base = link.name;
  for (size_t end = 0; end < 2; ++end) {
    const std::string node = link.ends[end].node;
    const auto stem = pattern_stem(node);
    if (!stem) continue;
    for (const std::string& host : expand_hosts(section, "ends", node)) {
      Link copy = link;
      copy.name = base + host.substr(stem->size());
      copy.ends[end].node = host;
      copy.ends[end].interface = base;
      add_link(section, std::move(copy), subnets);
    }
    return;
  }
  if (!is_name_free(section, link.name, "link", kLongestInterfaceName)) return;
  auto addresses = section.child("address");
  for (LinkEnd& end : link.ends) {
    if (end.interface.empty()) end.interface = link.name;
    const bool known = topology_.find_host(end.node) != nullptr || topology_.find_switch(end.node) != nullptr;
    if (!known) {
      section.report(
          "ends",
          fmt::format("link '{}' leads to nowhere: there is no host or switch '{}'", link.name, end.node),
          "declare it with [[host]] or [[switch]], or mend the name");
      return;
    }
    if (is_host_interface(end.node, end.interface)) {
      section.report("name", fmt::format("host '{}' has two interfaces '{}'", end.node, end.interface),
                     "give the link another name");
      return;
    }
    if (addresses && addresses->has(end.node)) end.addresses = read_prefixes(*addresses, end.node);
  }
  if (addresses) {
    for (const std::string& node : addresses->keys()) {
      if (node == link.ends[0].node || node == link.ends[1].node) continue;
      addresses->report(node, fmt::format("'{}' is no end of link '{}'", node, link.name),
                        "name one of its two ends");
    }
  }
  topology_.links.push_back(std::move(link));
  plans_.push_back({topology_.links.size() - 1, subnets});
}

void TopologyReader::read_weather(Section& section, const std::array<std::string, 2>& ends,
                                  std::array<Weather, 2>& weather) {
  const auto apply = [&](std::string_view key, const std::string& text, Weather& to) {
    if (auto set = set_impairments(to.initial, text); !set)
      section.report(key, set.error().what, set.error().remedy);
  };
  if (const auto both = section.text("impair")) {
    apply("impair", *both, weather[0]);
    weather[1].initial = weather[0].initial;
  }
  if (auto each = section.child("impair_from")) {
    for (const std::string& sender : each->keys()) {
      const auto text = each->text(sender);
      if (sender == ends[0] || sender == ends[1]) {
        apply("impair_from", text.value_or(""), weather[sender == ends[1]]);
      } else {
        each->report(sender, fmt::format("'{}' is no end of this link", sender), "name one of its two ends");
      }
    }
  }
  read_schedule(section, ends, weather);
}

void TopologyReader::read_schedule(Section& section, const std::array<std::string, 2>& ends,
                                   std::array<Weather, 2>& weather) {
  for (Section& step : section.children("schedule")) {
    const std::string at = step.required_text("at", "10s");
    const std::string change = step.required_text("impair", "loss=20%");
    const auto from = step.text("from");
    step.finish();
    const auto time = parse_duration(at);
    Impairment probe;
    if (!time) step.report("at", fmt::format("'{}' is no time", at), "write it as 10s or 1500ms");
    if (auto set = set_impairments(probe, change); !set)
      step.report("impair", set.error().what, set.error().remedy);
    if (from && *from != ends[0] && *from != ends[1]) {
      step.report("from", fmt::format("'{}' is no end of this link", *from), "name one of its two ends");
    }
    for (size_t end = 0; end < 2; ++end) {
      if (time && (!from || *from == ends[end])) weather[end].schedule.push_back({*time, change});
    }
  }
  for (Weather& one : weather) {
    std::stable_sort(one.schedule.begin(), one.schedule.end(),
                     [](const ScheduledChange& a, const ScheduledChange& b) { return a.at < b.at; });
  }
}

bool TopologyReader::is_host_interface(const std::string& host, const std::string& interface) const {
  for (const Link& link : topology_.links) {
    for (const LinkEnd& end : link.ends) {
      if (end.node == host && end.interface == interface) return true;
    }
  }
  for (const Tunnel& tunnel : topology_.tunnels) {
    for (const TunnelMember& member : tunnel.members) {
      if (member.host == host && tunnel.interface == interface) return true;
    }
  }
  return false;
}

void TopologyReader::assign_addresses() {
  // On a switch all links draw from the switch's subnets; elsewhere a link has its own, or is given some.
  std::map<std::string, uint32_t> next_on_switch;
  uint8_t next_free = 0;
  for (const LinkPlan& plan : plans_) {
    Link& link = topology_.links[plan.link];
    const Switch* on = nullptr;
    for (const LinkEnd& end : link.ends) {
      if (on == nullptr) on = topology_.find_switch(end.node);
    }
    std::vector<IpPrefix> subnets = on == nullptr ? plan.subnets : on->subnets;
    if (on != nullptr && !plan.subnets.empty()) {
      reading_.report(
          link.line,
          fmt::format("link '{}' ends on switch '{}', whose subnets it shares", link.name, on->name),
          "give the switch the subnet");
    }
    const bool given = std::any_of(link.ends.begin(), link.ends.end(),
                                   [](const LinkEnd& e) { return !e.addresses.empty(); });
    if (subnets.empty() && on == nullptr && !given) {
      subnets = {{IpAddress::ipv4(10, 200, next_free, 0), 24}};
      ++next_free;
    }
    uint32_t next = on == nullptr ? 1 : std::max(next_on_switch[on->name], 1U);
    for (LinkEnd& end : link.ends) {
      if (topology_.find_host(end.node) == nullptr || !end.addresses.empty()) continue;
      for (const IpPrefix& subnet : subnets) {
        if (const auto address = host_address(subnet, next)) {
          end.addresses.push_back(*address);
        } else {
          reading_.report(link.line,
                          fmt::format("subnet {} has no address left for '{}'", subnet.to_string(), end.node),
                          "use a shorter prefix");
        }
      }
      ++next;
    }
    if (on != nullptr) next_on_switch[on->name] = next;
  }
}

void TopologyReader::read_routes(std::vector<Section> sections) {
  for (Section& section : sections) {
    const std::string name = section.text("name").value_or("");
    const bool copies = section.has("count");
    for (Host& host : topology_.hosts) {
      if (copies ? !is_copy_of(host.name, name) : host.name != name) continue;
      for (const std::string& text : section.list("routes")) add_route(section, host, text);
    }
  }
}

void TopologyReader::add_route(Section& section, Host& host, const std::string& text) {
  auto words = words_of(text);
  const auto complain = [&](const std::string& what) {
    section.report("routes", fmt::format("route '{}': {}", text, what),
                   "write it as \"10.0.0.0/8 via 192.0.2.1 metric 10\", \"default via ROUTER\" or "
                   "\"10.0.0.0/8 dev wg0\"");
  };
  uint32_t metric = 0;
  if (words.size() == 5 && words[3] == "metric") {
    const auto [end, error] = std::from_chars(words[4].data(), words[4].data() + words[4].size(), metric);
    if (error != std::errc{} || *end != '\0') return complain(fmt::format("'{}' is no metric", words[4]));
    words.resize(3);
  }
  if (words.size() != 3 || (words[1] != "via" && words[1] != "dev")) return complain("it is not understood");
  std::vector<IpPrefix> targets;
  if (words[0] == "default") {
    targets = {{IpAddress::ipv4(0, 0, 0, 0), 0}, {*IpAddress::parse("::"), 0}};
  } else if (const auto prefix = IpPrefix::parse(words[0])) {
    targets = {prefix->normalized()};
  } else {
    return complain(fmt::format("'{}' is no prefix", words[0]));
  }
  if (words[1] == "dev") {
    if (!is_host_interface(host.name, words[2]))
      return complain(fmt::format("the host has no interface '{}'", words[2]));
    for (const IpPrefix& target : targets) host.routes.push_back({target, std::nullopt, words[2], metric});
    return;
  }
  const auto literal = IpAddress::parse(words[2]);
  if (!literal && topology_.find_host(words[2]) == nullptr) {
    return complain(fmt::format("'{}' is neither an address nor a host", words[2]));
  }
  bool added = false;
  for (const IpPrefix& target : targets) {
    const auto via =
        literal ? literal : reachable_address(host.name, words[2], target.address.family(), true);
    if (!via || via->family() != target.address.family()) continue;
    host.routes.push_back({target, via, "", metric});
    added = true;
  }
  if (!added) complain(fmt::format("'{}' has no address on a link of this host", words[2]));
}

void TopologyReader::read_nats(std::vector<Section> sections) {
  for (Section& section : sections) {
    auto table = section.child("nat");
    if (!table) continue;
    Nat nat;
    nat.line = table->line();
    const std::string kind = table->text("kind").value_or("port-restricted");
    if (const auto known = parse_nat_kind(kind)) {
      nat.kind = *known;
    } else {
      table->report("kind", fmt::format("'{}' is no kind of NAT", kind),
                    "use full-cone, restricted, port-restricted or symmetric");
    }
    nat.inside = table->list("inside");
    nat.outside = table->required_text("outside", "uplink");
    nat.hairpin = table->flag("hairpin", false);
    if (const auto timeout = table->text("udp_timeout")) {
      const auto time = parse_duration(*timeout);
      if (time && *time >= std::chrono::seconds(1)) {
        nat.udp_timeout = *time;
      } else {
        table->report("udp_timeout", fmt::format("'{}' is no time of a second or more", *timeout),
                      "write it as 30s");
      }
    }
    table->finish();
    const std::string name = section.text("name").value_or("");
    for (Host& host : topology_.hosts) {
      if (section.has("count") ? !is_copy_of(host.name, name) : host.name != name) continue;
      std::vector<std::string> interfaces = nat.inside;
      interfaces.push_back(nat.outside);
      for (const std::string& interface : interfaces) {
        if (interface.empty() || is_host_interface(host.name, interface)) continue;
        table->report("outside", fmt::format("host '{}' has no interface '{}'", host.name, interface),
                      "name the links of this host");
      }
      if (nat.inside.empty()) table->report("inside", "this nat has no inside", "add inside = [\"lan\"]");
      host.nat = nat;
      host.forward = true;
    }
  }
}

void TopologyReader::read_services(std::vector<Section> sections) {
  for (Section& section : sections) {
    Service service;
    service.line = section.line();
    const std::string pattern = section.required_text("host", "server");
    const std::string kind = section.required_text("kind", "http");
    service.command = section.list("command");
    service.name = section.text("name").value_or(kind);
    section.finish();
    const auto known = parse_service_kind(kind);
    if (!known && !kind.empty()) {
      section.report("kind", fmt::format("'{}' is no kind of service", kind),
                     "use http, dns, iperf3 or command");
    }
    if (known == ServiceKind::kCommand && service.command.empty()) {
      section.report("command", "this service has no command", "add command = [\"program\", \"argument\"]");
    }
    if (!known || pattern.empty()) continue;
    service.kind = *known;
    for (const std::string& host : expand_hosts(section, "host", pattern)) {
      service.host = host;
      topology_.services.push_back(service);
    }
  }
}

std::vector<std::pair<std::string, const std::vector<IpPrefix>*>> TopologyReader::addresses_of(
    const std::string& host) const {
  std::vector<std::pair<std::string, const std::vector<IpPrefix>*>> all;
  for (const Link& link : topology_.links) {
    for (const LinkEnd& end : link.ends) {
      if (end.node == host) all.emplace_back(end.interface, &end.addresses);
    }
  }
  for (const Tunnel& tunnel : topology_.tunnels) {
    for (const TunnelMember& member : tunnel.members) {
      if (member.host == host) all.emplace_back(tunnel.interface, &member.addresses);
    }
  }
  return all;
}

std::optional<IpAddress> TopologyReader::reachable_address(const std::string& from, const std::string& host,
                                                           vpn::IpFamily family, bool on_link_only) const {
  std::optional<IpAddress> first;
  for (const auto& [interface, addresses] : addresses_of(host)) {
    for (const IpPrefix& address : *addresses) {
      if (address.address.family() != family) continue;
      if (!first) first = address.address;
      for (const auto& [own_interface, own] : addresses_of(from)) {
        const bool shared = std::any_of(own->begin(), own->end(),
                                        [&](const IpPrefix& p) { return p.contains(address.address); });
        if (shared) return address.address;
      }
    }
  }
  return on_link_only ? std::nullopt : first;
}

void TopologyReader::check_addresses() {
  // On one host two interfaces may not share a subnet; on one link or switch no two ends may share an
  // address.
  for (const Host& host : topology_.hosts) {
    const auto all = addresses_of(host.name);
    for (size_t i = 0; i < all.size(); ++i) {
      for (size_t j = i + 1; j < all.size(); ++j) {
        for (const IpPrefix& a : *all[i].second) {
          for (const IpPrefix& b : *all[j].second) {
            if (!overlap(a, b)) continue;
            reading_.report(host.line,
                            fmt::format("overlapping addresses in host '{}': {} on {} and {} on {}",
                                        host.name, a.to_string(), all[i].first, b.to_string(), all[j].first),
                            "give the two interfaces different subnets");
          }
        }
      }
    }
  }
  std::map<std::string, std::map<IpAddress, std::string>> used;  // by segment
  for (const Link& link : topology_.links) {
    std::string segment = "link " + link.name;
    for (const LinkEnd& end : link.ends) {
      if (topology_.find_switch(end.node) != nullptr) segment = "switch " + end.node;
    }
    for (const LinkEnd& end : link.ends) {
      for (const IpPrefix& address : end.addresses) {
        const auto [at, fresh] = used[segment].emplace(address.address, end.node);
        if (fresh) continue;
        reading_.report(link.line,
                        fmt::format("overlapping addresses on {}: '{}' and '{}' both have {}", segment,
                                    at->second, end.node, address.address.to_string()),
                        "give each host an address of its own");
      }
    }
  }
}

}  // namespace lab
