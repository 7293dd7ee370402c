#include "lab/run/keeper.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lab/impair/netem_limits.h"
#include "lab/kernel/nat.h"
#include "lab/kernel/tap.h"
#include "lab/run/services.h"
#include "vpn/base/check.h"

namespace lab {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::milliseconds kGraceForDaemons{200};
constexpr size_t kMostClients = 64;  // at the control socket; then the oldest goes
constexpr size_t kLongestRequest = 65536;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json to_json(const Error& error) {
  return {{"error", {{"where", error.where}, {"what", error.what}, {"remedy", error.remedy}}}};
}

// A locally administered address that depends on the names alone, so that every run of a topology has the
// same ones.
MacAddress mac_of(const LinkEnd& end) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : end.node + "/" + end.interface) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  MacAddress mac{0x02};
  for (size_t i = 1; i < mac.size(); ++i) mac[i] = static_cast<uint8_t>(hash >> (8 * i));
  return mac;
}

// What a network namespace is told before any interface is in it.
Result<void> prepare_network(bool forward, bool quiet_ipv6) {
  std::vector<std::pair<std::string, std::string>> settings = {
      {"net/ipv6/conf/default/disable_ipv6", quiet_ipv6 ? "1" : "0"},
      {"net/ipv6/conf/all/keep_addr_on_down", "1"},
      {"net/ipv6/conf/default/accept_dad", "0"},
      {"net/ipv6/conf/default/dad_transmits", "0"},
      {"net/ipv6/conf/default/router_solicitations", "0"},
      {"net/ipv6/conf/default/accept_ra", "0"},
  };
  if (::access("/proc/sys/net/ipv6", F_OK) != 0) settings.clear();
  if (forward) {
    if (!settings.empty()) settings.emplace_back("net/ipv6/conf/all/forwarding", "1");
    settings.emplace_back("net/ipv4/ip_forward", "1");
  }
  for (const auto& [path, value] : settings) {
    if (auto set = write_sysctl(path, value); !set) return set;
  }
  return {};
}

// /etc/hosts of every host: each host by its name, and its tunnel addresses as HOST.TUNNEL.
std::string hosts_file(const Topology& topology) {
  std::string text = "127.0.0.1 localhost\n::1 localhost\n";
  for (const Link& link : topology.links) {
    for (const LinkEnd& end : link.ends) {
      for (const IpPrefix& address : end.addresses) {
        text += fmt::format("{} {} {}.{}\n", address.address.to_string(), end.node, end.node, end.interface);
      }
    }
  }
  for (const Tunnel& tunnel : topology.tunnels) {
    for (const TunnelMember& member : tunnel.members) {
      for (const IpPrefix& address : member.addresses) {
        text += fmt::format("{} {}.{}\n", address.address.to_string(), member.host, tunnel.interface);
      }
    }
  }
  return text;
}

// Whether a program of the topology runs on a host, a daemon or a service, which others may speak to.
bool serves(const Topology& topology, const std::string& host) {
  const auto is_here = [&](const auto& one) { return one.host == host; };
  return std::any_of(topology.services.begin(), topology.services.end(), is_here) ||
         std::any_of(topology.tunnels.begin(), topology.tunnels.end(), [&](const Tunnel& tunnel) {
           return std::any_of(tunnel.members.begin(), tunnel.members.end(), is_here);
         });
}

// Where the nameserver of a host is: the first DNS service of the lab, if there is one.
std::string resolver_file(const Topology& topology) {
  for (const Service& service : topology.services) {
    if (service.kind != ServiceKind::kDns) continue;
    for (const Link& link : topology.links) {
      for (const LinkEnd& end : link.ends) {
        if (end.node == service.host && !end.addresses.empty()) {
          return "nameserver " + end.addresses.front().address.to_string() + "\n";
        }
      }
    }
  }
  return "# no DNS service in this lab\n";
}

Json to_json(const LinkCounters& counters) {
  return {{"offered", counters.offered},
          {"offered_bytes", counters.offered_bytes},
          {"delivered", counters.delivered},
          {"delivered_bytes", counters.delivered_bytes},
          {"dropped_by_list", counters.dropped_by_list},
          {"lost", counters.lost},
          {"lost_in_burst", counters.lost_in_burst},
          {"queue_full", counters.queue_full},
          {"too_long", counters.too_long},
          {"link_down", counters.link_down},
          {"refused", counters.refused},
          {"duplicated", counters.duplicated},
          {"corrupted", counters.corrupted},
          {"held", counters.held}};
}

Json to_texts(const std::vector<IpPrefix>& prefixes) {
  Json texts = Json::array();
  for (const IpPrefix& prefix : prefixes) texts.push_back(prefix.to_string());
  return texts;
}

}  // namespace

Keeper::Keeper(StateDirectory state, LabPlan plan)
    : state_(std::move(state)),
      plan_(std::move(plan)),
      events_(state_.file("events.jsonl")),
      fates_(state_.file("fates.jsonl")),
      wire_(loop_, plan_.seed) {
  wire_.tell_fates([this](const std::string& link, const char* what, vpn::BytesView frame) {
    fates_.add(link, what, frame);
  });
  loop_.add(*this);
}

Keeper::~Keeper() = default;

Result<void> Keeper::build() {
  sigset_t handled;
  sigemptyset(&handled);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&handled, signal);
  ::pthread_sigmask(SIG_BLOCK, &handled, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signals_ = UniqueFd(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.is_open()) return fail_errno("", "making a signalfd");

  auto own = open_network_namespace(::getpid());
  if (!own) return fail(own.error());
  own_network_ = std::move(*own);
  auto netlink = Netlink::open();
  if (!netlink) return fail(netlink.error());
  own_netlink_ = std::move(*netlink);
  if (auto done = prepare_network(false, true); !done) return done;
  has_netem_ = has_netem(*own_netlink_);
  for (const char* part : {"logs", "hosts"}) {
    if (auto made = state_.make_directory(part); !made) return made;
  }
  if (auto done = make_hosts(); !done) return done;
  if (auto done = make_switches(); !done) return done;
  links_.reserve(plan_.topology.links.size());
  for (const Link& link : plan_.topology.links) {
    if (auto done = make_link(link); !done) return done;
  }
  // Daemons speak as soon as they are told to, so all that lies under them must stand; what lies on them
  // comes after.
  for (const Host& host : plan_.topology.hosts) (void)add_routes(host);
  if (auto done = add_nats(); !done) return done;
  if (auto done = start_tunnels(); !done) return done;
  for (const Host& host : plan_.topology.hosts) {
    if (auto done = add_routes(host); !done) return done;
  }
  if (auto done = start_services(); !done) return done;
  if (auto done = write_summary(); !done) return done;
  auto control = listen_unix(state_.file("control.sock"));
  if (!control) return fail(control.error());
  control_ = std::move(*control);

  came_up_ = std::chrono::steady_clock::now();
  for (size_t link = 0; link < links_.size(); ++link) {
    for (const Direction direction : {Direction::kForward, Direction::kBackward}) {
      for (const ScheduledChange& change :
           links_[link].link->weather[static_cast<size_t>(direction)].schedule) {
        pending_.push_back({came_up_ + change.at, link, direction, change.change});
      }
    }
  }
  std::stable_sort(pending_.begin(), pending_.end(),
                   [](const PendingChange& a, const PendingChange& b) { return a.due < b.due; });
  std::reverse(pending_.begin(), pending_.end());  // the next is taken from the back
  events_.add("up", state_.name(), plan_.topology.file);
  return {};
}

Result<void> Keeper::make_hosts() {
  const std::vector<std::pair<std::string, std::string>> etc = {
      {"hosts", hosts_file(plan_.topology)}, {"resolv.conf", resolver_file(plan_.topology)}};
  for (const Host& host : plan_.topology.hosts) {
    auto started = HostNamespace::start(state_, host.name, plan_.rootless, etc);
    if (!started) return fail(started.error());
    hosts_.emplace(host.name, std::move(*started));
  }
  for (const Host& host : plan_.topology.hosts) {
    HostNamespace& running = hosts_.at(host.name);
    if (auto ready = running.ready(); !ready) return ready;
    if (auto up = running.netlink().set_up("lo", true); !up) return up;
    const auto scope = NetworkNamespaceScope::enter(running.network());
    if (!scope) return fail(scope.error());
    if (auto done = prepare_network(host.forward, false); !done) return done;
  }
  return {};
}

Result<void> Keeper::make_switches() {
  for (const Switch& one : plan_.topology.switches) {
    if (auto made = own_netlink_->create_bridge(one.name); !made) return made;
    if (auto up = own_netlink_->set_up(one.name, true); !up) return up;
  }
  return {};
}

const UniqueFd& Keeper::network_of(const LinkEnd& end) {
  const auto host = hosts_.find(end.node);
  return host == hosts_.end() ? own_network_ : host->second.network();
}

Netlink& Keeper::netlink_of(const LinkEnd& end) {
  const auto host = hosts_.find(end.node);
  return host == hosts_.end() ? *own_netlink_ : host->second.netlink();
}

Engine Keeper::choose_engine(const Link& link) const {
  if (link.engine != Engine::kAuto) return link.engine;
  if (plan_.seed_given || !has_netem_) return Engine::kWire;
  const auto is_for_wire = [](const Impairment& impairment) {
    return !beyond_netem(impairment).empty() || !unlike_in_netem(impairment).empty();
  };
  for (const Weather& weather : link.weather) {
    if (find_in_course(weather, is_for_wire)) return Engine::kWire;
  }
  return Engine::kNetem;
}

Result<void> Keeper::make_link(const Link& link) {
  CarriedLink carried{
      &link, choose_engine(link), 0, {link.weather[0].initial, link.weather[1].initial}, true};
  auto made = carried.engine == Engine::kWire ? make_wire_link(carried) : make_veth_link(carried);
  if (!made) return made;
  for (size_t end = 0; end < 2; ++end) {
    if (auto done = set_up_end(link, end); !done) return done;
  }
  if (carried.engine == Engine::kNetem) {
    for (const Direction direction : {Direction::kForward, Direction::kBackward}) {
      if (auto done = set_weather(carried, direction); !done) return done;
    }
  }
  links_.push_back(std::move(carried));
  return {};
}

Result<void> Keeper::make_wire_link(CarriedLink& carried) {
  Wire::LinkSetup setup{carried.link->name, {}, carried.impairment};
  for (size_t end = 0; end < 2; ++end) {
    const LinkEnd& at = carried.link->ends[end];
    const auto scope = NetworkNamespaceScope::enter(network_of(at));
    if (!scope) return fail(scope.error());
    auto tap = create_tap(at.interface);
    if (!tap) return fail(tap.error());
    setup.taps[end] = std::move(*tap);
  }
  auto added = wire_.add_link(std::move(setup));
  if (!added) return fail(added.error());
  carried.wire = *added;
  return {};
}

Result<void> Keeper::make_veth_link(CarriedLink& carried) {
  const auto& ends = carried.link->ends;
  if (auto made =
          netlink_of(ends[0]).create_veth(ends[0].interface, ends[1].interface, network_of(ends[1]).get());
      !made) {
    return made;
  }
  if (carried.engine != Engine::kNetem) return {};
  if (!has_netem_) {
    return fail("link " + carried.link->name, "this kernel has no netem",
                "give the link engine = \"wire\", or use 'lab vm run'");
  }
  for (const LinkEnd& end : ends) {
    const auto scope = NetworkNamespaceScope::enter(network_of(end));
    if (!scope) return fail(scope.error());
    if (auto done = disable_offloads(end.interface); !done) return done;
  }
  return {};
}

Result<void> Keeper::set_up_end(const Link& link, size_t end) {
  const LinkEnd& at = link.ends[end];
  Netlink& netlink = netlink_of(at);
  if (auto set = netlink.set_mac(at.interface, mac_of(at)); !set) return set;
  if (auto set = netlink.set_mtu(at.interface, link.mtu_bytes); !set) return set;
  if (plan_.topology.find_switch(at.node) != nullptr) {
    if (auto joined = netlink.set_master(at.interface, at.node); !joined) return joined;
  }
  for (const IpPrefix& address : at.addresses) {
    if (auto added = netlink.add_address(at.interface, address); !added) return added;
  }
  return netlink.set_up(at.interface, true);
}

Result<void> Keeper::add_routes(const Host& host) {
  for (const Route& route : host.routes) {
    auto added = hosts_.at(host.name).netlink().add_route(route.to, route.via, route.interface, route.metric);
    if (!added) return fail("host " + host.name, added.error().what, added.error().remedy);
  }
  return {};
}

Result<void> Keeper::add_nats() {
  for (const Host& host : plan_.topology.hosts) {
    if (!host.nat) continue;
    const Nat& nat = *host.nat;
    const std::string where = "host " + host.name + ", NAT";
    const auto outside = outside_address(host);
    if (!outside)
      return fail(where, "its outside has no IPv4 address", "give the link '" + nat.outside + "' one");
    const auto scope = NetworkNamespaceScope::enter(hosts_.at(host.name).network());
    if (!scope) return fail(scope.error());
    const std::string rules = nat_ruleset(nat, *outside, serves(plan_.topology, host.name));
    if (auto loaded = load_ruleset(where, rules); !loaded) return loaded;
    const std::string seconds =
        std::to_string(std::chrono::ceil<std::chrono::seconds>(nat.udp_timeout).count());
    for (const char* name :
         {"net/netfilter/nf_conntrack_udp_timeout", "net/netfilter/nf_conntrack_udp_timeout_stream"}) {
      if (auto set = write_sysctl(name, seconds); !set) return set;
    }
  }
  return {};
}

std::optional<IpAddress> Keeper::outside_address(const Host& host) const {
  for (const Link& link : plan_.topology.links) {
    for (const LinkEnd& end : link.ends) {
      if (end.node != host.name || end.interface != host.nat->outside) continue;
      for (const IpPrefix& address : end.addresses) {
        if (address.address.is_ipv4()) return address.address;
      }
    }
  }
  return std::nullopt;
}

Result<void> Keeper::start_tunnels() {
  for (const Tunnel& tunnel : plan_.topology.tunnels) {
    keys_.emplace(tunnel.name, std::make_unique<TunnelKeys>(tunnel));
    for (const TunnelMember& member : tunnel.members) {
      auto daemon = start_daemon(state_, hosts_.at(member.host), tunnel, member);
      if (!daemon) return fail(daemon.error());
      daemons_.push_back(*daemon);
    }
  }
  std::string key_log;
  for (const auto& [name, keys] : keys_) key_log += keys->key_log();
  if (!key_log.empty()) {
    if (auto written = write_file(state_.file("keys.log"), key_log, 0600); !written) return written;
  }
  for (const Daemon& daemon : daemons_) {
    HostNamespace& host = hosts_.at(daemon.member->host);
    if (auto done = configure_daemon(state_, host, daemon, *keys_.at(daemon.tunnel->name)); !done)
      return done;
  }
  return {};
}

Result<void> Keeper::start_services() {
  for (const Service& service : plan_.topology.services) {
    auto pid = start_service(state_, hosts_.at(service.host), service);
    if (!pid) return fail(pid.error());
    services_.push_back({&service, *pid});
  }
  for (const Service& service : plan_.topology.services) {
    if (auto there = await_service(state_, hosts_.at(service.host), service); !there) return there;
  }
  return {};
}

Result<void> Keeper::write_summary() const {
  Json summary = {{"name", state_.name()}, {"topology", plan_.topology.file}, {"seed", plan_.seed}};
  Json hosts = Json::object();
  for (const auto& [name, host] : hosts_) hosts[name] = {{"holder", host.holder()}};
  summary["hosts"] = hosts;
  return write_file(state_.file("lab.json"), summary.dump(1) + "\n");
}

std::optional<SteadyTime> Keeper::next_due() const {
  if (pending_.empty()) return std::nullopt;
  return pending_.back().due;
}

void Keeper::handle_due(SteadyTime now) {
  while (!pending_.empty() && pending_.back().due <= now) {
    const PendingChange change = std::move(pending_.back());
    pending_.pop_back();
    if (auto done = impair(change.link, change.direction, change.change); !done) {
      events_.add("error", links_[change.link].link->name, done.error().to_string());
    }
  }
}

Result<void> Keeper::impair(size_t link, Direction direction, const std::string& change) {
  CarriedLink& carried = links_[link];
  Impairment next = carried.impairment[static_cast<size_t>(direction)];
  if (auto set = set_impairments(next, change); !set)
    return fail("link " + carried.link->name, set.error().what, set.error().remedy);
  std::swap(next, carried.impairment[static_cast<size_t>(direction)]);
  if (auto set = set_weather(carried, direction); !set) {
    std::swap(next, carried.impairment[static_cast<size_t>(direction)]);
    (void)set_weather(carried, direction);  // a half of it may stand in the place of what there was
    return set;
  }
  events_.add("impair", carried.link->name + ":" + carried.link->sender(direction).node,
              to_string(carried.impairment[static_cast<size_t>(direction)]));
  return {};
}

Result<void> Keeper::set_weather(CarriedLink& carried, Direction direction) {
  const Impairment& impairment = carried.impairment[static_cast<size_t>(direction)];
  const LinkEnd& sender = carried.link->sender(direction);
  switch (carried.engine) {
    case Engine::kWire:
      return wire_.set_impairment(carried.wire, direction, impairment);
    case Engine::kNetem: {
      const auto passed =
          netem_counters(netlink_of(sender), sender.interface);  // end with the weather they are of
      if (!passed) return fail(passed.error());
      auto set =
          set_netem(netlink_of(sender), sender.interface, impairment, carried.link->mtu_bytes, plan_.seed);
      if (beyond_netem(impairment).empty()) {  // else it has changed nothing
        carried.earlier[static_cast<size_t>(direction)].lost += passed->lost;
        carried.earlier[static_cast<size_t>(direction)].queue_full += passed->queue_full;
      }
      return set;
    }
    case Engine::kAuto:
    case Engine::kVeth:
      break;
  }
  return fail("link " + carried.link->name, "its engine is veth, which has no weather",
              "give it engine = \"auto\"");
}

Result<void> Keeper::set_link_up(size_t link, bool up) {
  CarriedLink& carried = links_[link];
  for (const LinkEnd& end : carried.link->ends) {
    if (auto done = netlink_of(end).set_up(end.interface, up); !done) return done;
  }
  if (carried.engine == Engine::kWire) wire_.set_up(carried.wire, up);
  carried.up = up;
  // The kernel has forgotten the routes of an interface that was down; those by way of another that still is
  // wait.
  for (const LinkEnd& end : carried.link->ends) {
    const Host* host = up ? plan_.topology.find_host(end.node) : nullptr;
    if (host != nullptr) (void)add_routes(*host);
  }
  events_.add(up ? "link up" : "link down", carried.link->name);
  return {};
}

std::string Keeper::counters_of(const CarriedLink& carried, Direction direction) {
  if (carried.engine == Engine::kWire) return dump(to_json(wire_.counters(carried.wire, direction)));
  // What left the sender's interface is past all weather.
  const LinkEnd& sender = carried.link->sender(direction);
  const auto passed = netlink_of(sender).counters_of(sender.interface);
  const auto kept = netem_counters(netlink_of(sender), sender.interface);
  if (!passed || !kept) return "{}";
  const NetemCounters& earlier = carried.earlier[static_cast<size_t>(direction)];
  const uint64_t lost = earlier.lost + kept->lost;
  const uint64_t queue_full = earlier.queue_full + kept->queue_full;
  return dump({{"offered", passed->sent_packets + lost + queue_full + kept->waiting},
               {"delivered", passed->sent_packets},
               {"delivered_bytes", passed->sent_bytes},
               {"lost", lost},
               {"queue_full", queue_full},
               {"waiting", kept->waiting}});
}

std::string Keeper::status() {
  Json json = {
      {"name", state_.name()},
      {"topology", plan_.topology.file},
      {"about", plan_.topology.about},
      {"seed", plan_.seed},
      {"rootless", plan_.rootless},
      {"uptime_seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - came_up_).count()}};
  const auto interfaces_of = [&](const std::string& node) {
    Json interfaces = Json::array();
    for (const CarriedLink& carried : links_) {
      for (const LinkEnd& end : carried.link->ends) {
        if (end.node != node) continue;
        interfaces.push_back(
            {{"name", end.interface}, {"link", carried.link->name}, {"addresses", to_texts(end.addresses)}});
      }
    }
    return interfaces;
  };
  json["hosts"] = Json::array();
  for (const Host& host : plan_.topology.hosts) {
    json["hosts"].push_back(
        {{"name", host.name}, {"router", host.forward}, {"interfaces", interfaces_of(host.name)}});
  }
  json["switches"] = Json::array();
  for (const Switch& one : plan_.topology.switches)
    json["switches"].push_back({{"name", one.name}, {"interfaces", interfaces_of(one.name)}});
  json["links"] = Json::array();
  for (const CarriedLink& carried : links_) {
    Json directions = Json::array();
    for (const Direction direction : {Direction::kForward, Direction::kBackward}) {
      Json one = {{"from", carried.link->sender(direction).node},
                  {"to", carried.link->receiver(direction).node},
                  {"impairment", to_string(carried.impairment[static_cast<size_t>(direction)])}};
      one["counters"] = Json::parse(counters_of(carried, direction));
      directions.push_back(std::move(one));
    }
    Json one = {{"name", carried.link->name},
                {"engine", to_string(carried.engine)},
                {"up", carried.up},
                {"mtu", carried.link->mtu_bytes},
                {"directions", directions}};
    if (carried.engine == Engine::kWire)
      one["carried_by"] = wire_.is_batched() ? "io_uring" : "read and write";
    json["links"].push_back(std::move(one));
  }
  json["daemons"] = Json::array();
  for (const Daemon& daemon : daemons_) {
    json["daemons"].push_back({{"host", daemon.member->host},
                               {"tunnel", daemon.tunnel->name},
                               {"interface", daemon.tunnel->interface},
                               {"kind", daemon.member->kind},
                               {"addresses", to_texts(daemon.member->addresses)},
                               {"running", daemon.pid != 0 || daemon.member->kind == "kernel"}});
  }
  json["services"] = Json::array();
  for (const RunningService& service : services_) {
    json["services"].push_back(
        {{"name", service.service->name}, {"host", service.service->host}, {"running", service.pid != 0}});
  }
  return dump({{"ok", json}});
}

void Keeper::accept_client() {
  UniqueFd socket(::accept4(control_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.is_open()) return;
  if (clients_.size() >= kMostClients) {
    const auto oldest = std::min_element(clients_.begin(), clients_.end(), [](const auto& a, const auto& b) {
      return a.second.since < b.second.since;
    });
    dismiss_client(oldest->first);
  }
  const int fd = socket.get();
  clients_.emplace(fd, Client{std::move(socket), std::chrono::steady_clock::now(), {}, {}});
  loop_.watch(fd, [this, fd] { hear_client(fd); });
}

void Keeper::hear_client(int fd) {
  Client& client = clients_.at(fd);
  std::array<char, 65536> buffer;
  const ssize_t count = ::recv(fd, buffer.data(), buffer.size(), 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0 || client.request.size() + static_cast<size_t>(count) > kLongestRequest ||
      !client.answer.empty())
    return dismiss_client(fd);
  client.request.append(buffer.data(), static_cast<size_t>(count));
  if (!client.request.ends_with('\n')) return;
  try {
    client.answer = answer(client.request) + "\n";
  } catch (const Json::exception&) {
    client.answer =
        dump(to_json(Error{"", "a value of the request is of another type than it must be", ""})) + "\n";
  }
  speak_to_client(fd);
}

void Keeper::speak_to_client(int fd) {
  std::string& text = clients_.at(fd).answer;
  const ssize_t count = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
  if (count < 0 && errno != EAGAIN) return dismiss_client(fd);
  if (count > 0) text.erase(0, static_cast<size_t>(count));
  if (text.empty()) return dismiss_client(fd);
  loop_.watch_writable(fd, [this, fd] { speak_to_client(fd); });
}

void Keeper::dismiss_client(int fd) {
  loop_.unwatch(fd);
  clients_.erase(fd);
}

std::string Keeper::answer(const std::string& request) {
  const Json json = Json::parse(request, nullptr, false);
  if (!json.is_object()) return dump(to_json(Error{"", "the request is no JSON object", ""}));
  const std::string verb = json.value("do", "");
  if (verb == "status") return status();
  if (verb == "down") {
    loop_.stop();
    return dump({{"ok", true}});
  }
  const std::string name = json.value("link", "");
  const auto found = std::find_if(links_.begin(), links_.end(),
                                  [&](const CarriedLink& one) { return one.link->name == name; });
  if (found == links_.end()) {
    std::string known;
    for (const CarriedLink& one : links_) known += (known.empty() ? "" : ", ") + one.link->name;
    return dump(to_json(Error{"", fmt::format("there is no link '{}' in lab '{}'", name, state_.name()),
                              "use one of " + known}));
  }
  const auto link = static_cast<size_t>(found - links_.begin());
  if (verb == "link") {
    const auto done = set_link_up(link, json.value("up", true));
    return dump(done ? Json{{"ok", true}} : to_json(done.error()));
  }
  if (verb != "impair") return dump(to_json(Error{"", "the request '" + verb + "' is unknown", ""}));
  const std::string from = json.value("from", "");
  bool matched = false;
  for (const Direction direction : {Direction::kForward, Direction::kBackward}) {
    if (json.contains("from") && from != found->link->sender(direction).node) continue;
    matched = true;
    if (auto done = impair(link, direction, json.value("change", "")); !done)
      return dump(to_json(done.error()));
  }
  if (!matched) {
    return dump(to_json(Error{"link " + name, fmt::format("'{}' is no end of it", from),
                              fmt::format("name the sending end: {} or {}", found->link->ends[0].node,
                                          found->link->ends[1].node)}));
  }
  return dump({{"ok", true}});
}

void Keeper::handle_signal() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) {
      reap();
    } else {
      loop_.stop();
    }
  }
}

void Keeper::reap() {
  int status = 0;
  for (pid_t pid = ::waitpid(-1, &status, WNOHANG); pid > 0; pid = ::waitpid(-1, &status, WNOHANG)) {
    const std::string how = WIFEXITED(status) ? fmt::format("exit status {}", WEXITSTATUS(status))
                                              : fmt::format("signal {}", WTERMSIG(status));
    for (Daemon& daemon : daemons_) {
      if (daemon.pid != pid) continue;
      daemon.pid = 0;
      events_.add("daemon ended", daemon.member->host + ":" + daemon.tunnel->interface, how);
    }
    for (RunningService& service : services_) {
      if (service.pid != pid) continue;
      service.pid = 0;
      events_.add("service ended", service.service->host + ":" + service.service->name, how);
    }
  }
}

void Keeper::serve() {
  loop_.watch(control_.get(), [this] { accept_client(); });
  loop_.watch(signals_.get(), [this] { handle_signal(); });
  loop_.run();
  events_.add("down", state_.name());
  end_processes();
}

void Keeper::end_processes() {
  // Everything in the PID namespace but ourselves. What does not go in time, the kernel ends with us.
  ::kill(-1, SIGTERM);
  const auto deadline = std::chrono::steady_clock::now() + kGraceForDaemons;
  for (;;) {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    if (::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD) return;
    const auto left =
        std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    const timespec wait{0, left.count()};
    ::sigtimedwait(&child, nullptr, &wait);
  }
}

}  // namespace lab
