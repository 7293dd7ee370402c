#include "vpn/daemon/daemon.h"

#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <set>
#include <thread>
#include <utility>

#include "vpn/config/uapi.h"
#include "vpn/daemon/config_file.h"
#include "vpn/daemon/readiness.h"
#include "vpn/host/config_check.h"
#include "vpn/host/firewall_rules.h"
#include "vpn/host/host_change.h"
#include "vpn/io/process.h"

namespace vpn::daemon {
namespace {

std::string errno_line(int error_number) {
  return "errno=" + std::to_string(error_number) + "\n\n";
}

std::optional<uint32_t> zone_index(std::string_view name) {
  const unsigned index = if_nametoindex(std::string(name).c_str());
  return index == 0 ? std::nullopt : std::optional<uint32_t>(index);
}

// One for each core that we may run on, unless the configuration says how many.
size_t workers_for(uint16_t configured) {
  if (configured != 0) return configured;
  return std::clamp<size_t>(std::thread::hardware_concurrency(), 1, config::kMostWorkers);
}

// What a change that failed leaves as an errno for `wg`.
int to_errno(const Error& error) {
  return error.error_number != 0 ? error.error_number : EINVAL;
}

}  // namespace

Daemon::Daemon(DaemonOptions options)
    : options_(std::move(options)), log_(options_.log, options_.interface) {}

Daemon::~Daemon() {
  take_down();
}

Result<bool, Error> Daemon::start() {
  if (options_.config_path)
    dns_ = std::make_unique<host::DnsProcess>(options_.interface, options_.background);
  if (auto loaded = load_config(); !loaded) return loaded;
  hooks_ = std::make_unique<HookRunner>(config_.interface.hooks, options_.interface);
  auto loop = io::EventLoop::create();
  if (!loop) return fail(std::move(loop.error()));
  loop_ = std::move(*loop);
  auto signals =
      loop_->watch_signals({SIGINT, SIGTERM, SIGHUP, SIGPIPE}, [this](int signal) { on_signal(signal); });
  if (!signals) return signals;
  if (auto prepared = prepare_host(); !prepared) return prepared;
  if (ending_) return false;
  if (auto ran = run_hooks_of_start(HookPhase::kPreUp); !ran || !*ran) return ran;
  if (auto made = make_device(); !made) return made;
  if (auto set = set_up_host(); !set) return set;
  if (auto listening = listen(); !listening) return listening;
  if (auto confined = confine(); !confined) return confined;
  if (auto ran = run_hooks_of_start(HookPhase::kPostUp); !ran || !*ran) return ran;
  serving_ = true;
  io::give_back_memory_of_start();
  if (options_.config_path && !device_->report().private_key) {
    log_.warning("there is no private key yet, so that nothing passes",
                 {{"remedy", "add PrivateKey, or set it with 'wg set' in PostUp"}});
  }
  if (options_.background) {
    hooks_->let_go_of_terminal();
    log_.let_go_of_terminal();
  }
  log_.info("serving", {{"port", std::to_string(device_->listen_port())},
                        {"peers", std::to_string(config_.peers.size())},
                        {"workers", std::to_string(device_->worker_count())},
                        {"tun_offload", device_->report().tun_offload},
                        {"udp_offload", device_->report().udp_offload}});
  return true;
}

Result<bool, Error> Daemon::load_config() {
  if (!options_.config_path) return true;
  auto file = read_config(*options_.config_path);
  if (!file) return fail(std::move(file.error()));
  if (file->readable_by_others) {
    log_.warning("the configuration is readable by others",
                 {{"file", *options_.config_path}, {"remedy", "chmod o-r"}});
  }
  if (const int line = file->own_key_line.number; line != 0) {
    log_.warning("a peer has the interface's own key, and is ignored",
                 {{"file", *options_.config_path}, {"line", std::to_string(line)}});
  }
  config_ = std::move(file->config);
  for (const config::PeerConfig& peer : config_.peers) {
    if (const int line = peer.host_bits_line.number; line != 0) {
      log_.warning("an address in AllowedIPs stands for its whole network",
                   {{"file", *options_.config_path}, {"line", std::to_string(line)}});
    }
  }
  if (!config_.interface.user.empty()) {
    auto user = find_user(config_.interface.user);
    if (!user) {
      user.error().where = *options_.config_path;
      return fail(std::move(user.error()));
    }
    user_ = *user;
  }
  started_with_ = config_.interface;
  started_with_.private_key.reset();
  return check_wanted(config_, resolved_);
}

// What an earlier daemon has left is undone first: name resolution may depend on it.
Result<bool, Error> Daemon::prepare_host() {
  if (!options_.config_path) return true;
  host_ = std::make_unique<HostSide>(options_.interface, log_);
  if (auto opened = host_->open(config_); !opened) return opened;
  if (auto resolved = resolve_all(); !resolved || !*resolved) return resolved;
  return host_->check(config_, resolved_, *options_.config_path);
}

// Every peer's endpoints; where a name does not resolve, a kill switch may be why, and what is remembered
// serves. False: a signal came meanwhile.
Result<bool, Error> Daemon::resolve_all() {
  auto found = resolve_names();
  if (ending_) return false;
  for (const config::PeerConfig& peer : config_.peers) {
    for (const config::EndpointName& name : peer.endpoints) {
      const auto asked = found.find(name);
      auto addresses = asked != found.end() ? asked->second : resolve(name);
      if (!addresses) {
        if (auto known = host_->remembered(name); !known.empty()) addresses = std::move(known);
      }
      if (!addresses) return fail(unresolved(std::move(addresses.error()), peer));
      resolved_[name] = std::move(*addresses);
    }
  }
  return true;
}

// The peers' names, asked for beside the loop: a name server that does not answer takes half a minute, in
// which a signal ends the wait.
std::map<config::EndpointName, Daemon::Addresses> Daemon::resolve_names() {
  std::set<config::EndpointName> names;
  for (const config::PeerConfig& peer : config_.peers) {
    std::ranges::copy_if(peer.endpoints, std::inserter(names, names.end()), is_host_name);
  }
  std::map<config::EndpointName, Addresses> found;
  if (names.empty()) return found;
  BackgroundResolver resolver;
  loop_->watch(resolver.fd(), [&] {
    for (auto& answer : resolver.take_answers()) {
      found.emplace(answer.endpoint, std::move(answer.addresses));
    }
    if (found.size() == names.size()) loop_->stop();
  });
  resolver.ask({names.begin(), names.end()});
  loop_->run([] {});
  loop_->unwatch(resolver.fd());
  return found;
}

Result<bool, Error> Daemon::make_device() {
  const config::InterfaceConfig& interface = config_.interface;
  const Device::Options options{options_.interface, interface.listen_port,
                                host_ ? host_->mark_for(config_) : 0, interface.tun_offload,
                                interface.udp_offload,
                                // Where others set the MTU, as they do for any WireGuard.
                                !options_.config_path, options_.key_log, workers_for(interface.workers)};
  auto device = Device::create(options, *loop_, random_, log_, [this] {
    interface_gone_ = true;
    stop("the interface was removed");
  });
  if (!device) {
    Error error = std::move(device.error());
    if (error.where.starts_with("UDP port") && interface.listen_port != 0) {
      error.problem = error.where + " is " + error.problem;
      error.where = *options_.config_path;
      error.line = interface.listen_port_line.number;
      error.key = "ListenPort";
    }
    return fail(std::move(error));
  }
  device_ = std::move(*device);
  state_ = std::make_unique<StateFile>(options_.interface);
  if (const auto stamp = state_->read()) device_->restore_timestamp(*stamp);
  config::DeviceChange change = config::change_between(config::Config{}, config_, resolved_);
  change.listen_port.reset();  // the device was made with it
  change.fwmark.reset();
  if (auto applied = device_->apply(change); !applied) return applied;
  name_peers();
  return true;
}

void Daemon::name_peers() {
  for (const config::PeerConfig& peer : config_.peers) device_->set_peer_name(peer.public_key, peer.name);
}

Result<bool, Error> Daemon::set_up_host() {
  auto netlink = host::Netlink::open();
  if (!netlink) return fail(std::move(netlink.error()));
  netlink_ = std::move(*netlink);
  if (auto watching = watch_network(); !watching) return watching;
  const unsigned interface = device_->interface_index();
  const uint16_t mtu = options_.config_path ? host_->mtu_for(config_, resolved_) : kDefaultMtu;
  if (auto set = netlink_->set_mtu(interface, mtu); !set) return set;
  device_->set_mtu(mtu);
  if (!host_) return true;  // whoever configures it brings it up
  auto up = host_->bring_up(config_, interface, device_->listen_port(), resolved_);
  if (!up) return up;
  host_->remember(resolved_);
  recovery_->configure(config_, resolved_);
  return true;
}

Result<bool, Error> Daemon::watch_network() {
  host::LinkMonitor::Handlers handlers;
  handlers.on_mtu = [this](uint16_t mtu) { device_->set_mtu(mtu); };
  handlers.on_state = [this](bool is_up) { follow_link(is_up); };
  handlers.on_overrun = [this] {
    const unsigned interface = device_->interface_index();
    if (const auto mtu = netlink_->mtu_of(interface)) device_->set_mtu(static_cast<uint16_t>(*mtu));
    if (const auto is_up = netlink_->is_up(interface)) follow_link(*is_up);
  };
  handlers.on_removed = [this] {
    // The kernel says the same of one that is moved; its packets go on, and so do our sockets where we are.
    if (device_->interface_is_there()) {
      log_.info("the interface is in another network namespace now");
      return follow_link(true);  // it was taken down for that, and what happens to it there is not heard
    }
    interface_gone_ = true;
    stop("the interface was removed");
  };
  handlers.on_network = [this] {
    if (recovery_) recovery_->on_network_changed();
  };
  handlers.on_loss = [this] {
    if (recovery_) recovery_->on_loss();
  };
  auto monitor = host::LinkMonitor::open(device_->interface_index(), std::move(handlers));
  if (!monitor) return fail(std::move(monitor.error()));
  link_monitor_ = std::move(*monitor);
  loop_->watch(link_monitor_->fd(), [this] { link_monitor_->hear(); });
  if (host_) {
    watch_firewall();
    watch_cgroups();
  }
  Recovery::Actions actions;
  actions.ask_names = [this](auto names) {
    if (resolver_) resolver_->ask(std::move(names));
  };
  actions.follow_endpoints = [this] { host_->follow_endpoints(config_, endpoints()); };
  actions.set_path_mtus = [this](auto mtus) { host_->follow_path_mtus(config_, std::move(mtus)); };
  auto recovery = Recovery::create(*loop_, *device_, host_.get(), *netlink_, log_, std::move(actions));
  if (!recovery) return fail(std::move(recovery.error()));
  recovery_ = std::move(*recovery);
  return true;
}

// What is down is silent, as Linux's WireGuard is. Before the link is up for the first time there is nothing
// to be silenced.
void Daemon::follow_link(bool is_up) {
  if (std::exchange(is_link_up_, is_up) == is_up) return;
  if (!is_up) {
    log_.info("the interface is down, and nothing is sent");
    return device_->go_down();
  }
  if (auto up = device_->come_up(); !up)
    return log_.error("the interface is up, but nothing can be sent", {{"error", up.error().to_string()}});
  follow_listen_port();
}

void Daemon::follow_listen_port() {
  if (host_ && device_->listen_port() != 0) host_->follow_listen_port(config_, device_->listen_port());
}

// A kernel without nf_tables has no firewall of ours to lose.
void Daemon::watch_firewall() {
  auto monitor = host::FirewallMonitor::open(host::table_name(options_.interface),
                                             [this] { host_->restore_firewall(); });
  if (!monitor) return;
  firewall_monitor_ = std::move(*monitor);
  loop_->watch(firewall_monitor_->fd(), [this] { firewall_monitor_->hear(); });
}

// Before the firewall is made for the cgroups, or they are looked at again, so that no change is missed.
void Daemon::watch_cgroups() {
  std::vector<std::string> groups = host::cgroups_of(config_.interface);
  if (groups.empty()) return;
  if (!cgroup_monitor_) {
    auto monitor = host::CgroupMonitor::open([this] { host_->follow_cgroups(config_); });
    if (!monitor) return log_.warning("cgroups are not watched", {{"error", monitor.error().to_string()}});
    cgroup_monitor_ = std::move(*monitor);
    loop_->watch(cgroup_monitor_->fd(), [this] { cgroup_monitor_->hear(); });
  }
  cgroup_monitor_->watch(std::move(groups));
}

Result<bool, Error> Daemon::listen() {
  ControlServer::Options options;
  options.interface = options_.interface;
  options.handler = [this](std::string_view operation, std::string_view lines) {
    return answer(operation, lines);
  };
  options.on_removed = [this] { stop("the control socket's file was removed"); };
  auto control = ControlServer::listen(*loop_, std::move(options));
  if (!control) return fail(std::move(control.error()));
  control_ = std::move(*control);
  return true;
}

Result<bool, Error> Daemon::confine() {
  if (user_) control_->give_to(user_->user, user_->group);
  if (auto dropped = drop_privileges(user_ ? &*user_ : nullptr); !dropped) return dropped;
  if (host_) host_->set_dns_by(*dns_);
  // Threads are to have no more privileges than this one, and the filter, put on all, lets none be made.
  device_->start_workers();
  resolver_ = std::make_unique<BackgroundResolver>();
  loop_->watch(resolver_->fd(), [this] { take_resolved(); });
  return filter_system_calls();
}

void Daemon::run() {
  // Packets may have been waiting, and timers due, since before the first event.
  after_round();
  if (!ending_) loop_->run([this] { after_round(); });
}

Result<bool, Error> Daemon::run_hooks(HookPhase phase) {
  if (!hooks_->begin(phase)) return true;
  std::optional<Result<bool, Error>> outcome;
  loop_->watch(hooks_->fd(), [&] {
    outcome = hooks_->finish(phase);
    loop_->stop();
  });
  after_round();
  runs_hooks_ = true;
  while (!outcome)
    loop_->run([this] { after_round(); });  // a signal stops the loop before the command has ended
  runs_hooks_ = false;
  loop_->unwatch(hooks_->fd());
  return std::move(*outcome);
}

Result<bool, Error> Daemon::run_hooks_of_start(HookPhase phase) {
  auto ran = run_hooks(phase);
  if (!ran && ending_) return false;
  return ran;
}

void Daemon::after_round() {
  if (!device_) return;
  device_->finish_round();
  state_->write(device_->greatest_timestamp_sent());
  const auto moves = device_->take_peer_moves();
  if (!recovery_) return;
  // Only the kill switch asks where the peers are, and to ask thousands takes its time.
  if (!moves.empty() && config_.interface.kill_switch) recovery_->on_endpoints_changed();
  recovery_->note_moves(moves);
  recovery_->after_round();
}

// Where packets to the peers may go: as configured, and where they were last heard from.
std::vector<UdpAddress> Daemon::endpoints() const {
  std::vector<UdpAddress> all;
  for (const auto& [name, addresses] : resolved_) all.insert(all.end(), addresses.begin(), addresses.end());
  for (const auto& [key, endpoint] : device_->endpoints()) all.push_back(endpoint);
  return all;
}

void Daemon::stop(std::string_view why) {
  if (std::exchange(ending_, true)) return;
  log_.info("ending", {{"reason", std::string(why)}});
  loop_->stop();
}

void Daemon::stop_on_request(std::string_view why) {
  if (runs_hooks_) {
    log_.warning("the command that runs is ended", {{"reason", std::string(why)}});
    hooks_->end_command();
  }
  stop(why);
}

void Daemon::take_down() {
  if (serving_ && !interface_gone_) {
    if (auto ran = run_hooks(HookPhase::kPreDown); !ran) {
      log_.warning("a PreDown command failed", {{"error", ran.error().to_string()}});
    }
  }
  if (serving_ && config_.interface.save_config && options_.config_path) save_config();
  if (resolver_) loop_->unwatch(resolver_->fd());
  resolver_.reset();
  if (firewall_monitor_) loop_->unwatch(firewall_monitor_->fd());
  firewall_monitor_.reset();
  if (cgroup_monitor_) loop_->unwatch(cgroup_monitor_->fd());
  cgroup_monitor_.reset();
  if (host_) host_->take_down(kill_switch_at_end_, serving_);
  recovery_.reset();
  if (link_monitor_) loop_->unwatch(link_monitor_->fd());
  link_monitor_.reset();
  host_.reset();
  if (device_) state_->write(device_->greatest_timestamp_sent());
  state_.reset();
  device_.reset();
  if (std::exchange(serving_, false)) {
    if (auto ran = run_hooks(HookPhase::kPostDown); !ran) {
      log_.warning("a PostDown command failed", {{"error", ran.error().to_string()}});
    }
  }
  control_.reset();  // last, for whoever waits for the end
}

void Daemon::on_signal(int signal) {
  if (signal == SIGPIPE) return;
  if (signal == SIGINT) kill_switch_at_end_ = host::KillSwitchAtEnd::kLift;  // somebody at the terminal
  if (signal != SIGHUP) return stop_on_request(signal == SIGINT ? "SIGINT" : "SIGTERM");
  reload_by_itself();
}

void Daemon::reload_by_itself() {
  auto unknown = ask_new_names();
  reloads_when_resolved_ = unknown && *unknown;
  if (reloads_when_resolved_) return;
  auto reloaded = unknown ? reload() : Result<std::string, Error>(fail(std::move(unknown.error())));
  if (!reloaded) log_.error("not reloaded", {{"error", reloaded.error().to_string()}});
}

std::string Daemon::answer(std::string_view operation, std::string_view lines) {
  const bool has_device = device_ != nullptr;
  if (operation == "get" && !has_device) return errno_line(ENODEV);
  if (operation == "set" && !has_device) return errno_line(-ENODEV);
  if (operation == "get") return config::emit_get(device_->report()) + errno_line(0);
  if (operation == "set") return answer_set(lines);
  if (operation == "reload") return answer_reload();
  if (operation == "stop") {
    kill_switch_at_end_ = host::KillSwitchAtEnd::kLift;
    stop_on_request("asked to over the control socket");
    return errno_line(0);
  }
  return errno_line(EPROTO);
}

std::string Daemon::answer_set(std::string_view lines) {
  auto change = config::parse_set(lines, zone_index);
  if (!change) {
    log_.warning("control request refused",
                 {{"line", std::to_string(change.error().line)}, {"key", change.error().key}});
    return errno_line(-change.error().error_number);
  }
  // `wg syncconf` asks for no mark where its file names none, as the tunnel's own file does not.
  if (change->fwmark == 0U && host_ && host::needs_mark(config_)) change->fwmark = host_->mark_for(config_);
  auto applied = device_->apply(*change);
  if (applied && change->replace_peers) name_peers();  // those that stay are new ones by now
  if (applied) follow_listen_port();
  if (applied) return errno_line(0);
  log_.warning("control request refused", {{"error", applied.error().to_string()}});
  return errno_line(-to_errno(applied.error()));
}

std::string Daemon::answer_reload() {
  auto unknown = ask_new_names();
  // Whoever asks comes again until the names are known, so that no packet waits for a name server.
  if (unknown && *unknown) return "resolving=1\n" + errno_line(0);
  auto reloaded = unknown ? reload() : Result<std::string, Error>(fail(std::move(unknown.error())));
  if (reloaded) return (reloaded->empty() ? "" : "warning=" + *reloaded + "\n") + errno_line(0);
  log_.error("not reloaded", {{"error", reloaded.error().to_string()}});
  return "error=" + reloaded.error().to_string() + "\n" + errno_line(EINVAL);
}

Result<bool, Error> Daemon::ask_new_names() {
  if (!options_.config_path || !resolver_) return false;  // reload() says why not
  auto file = read_config(*options_.config_path);
  if (!file) return fail(std::move(file.error()));
  std::vector<config::EndpointName> names;
  bool is_waiting = false;
  for (const config::PeerConfig& peer : file->config.peers) {
    for (const config::EndpointName& name : peer.endpoints) {
      if (resolved_.contains(name) || !is_host_name(name)) continue;
      const auto asked = new_names_.find(name);
      if (asked == new_names_.end()) names.push_back(name);
      is_waiting = is_waiting || asked == new_names_.end() || !asked->second;
    }
  }
  for (const config::EndpointName& name : names) new_names_[name].reset();
  if (!names.empty()) resolver_->ask(std::move(names));
  return is_waiting;
}

Result<config::ResolvedEndpoints, Error> Daemon::resolve_for(const config::Config& wanted) {
  const auto fresh = std::exchange(new_names_, {});
  config::ResolvedEndpoints resolved;
  for (const config::PeerConfig& peer : wanted.peers) {
    for (const config::EndpointName& name : peer.endpoints) {
      if (const auto known = resolved_.find(name); known != resolved_.end()) {
        resolved.insert(*known);
        continue;
      }
      const auto asked = fresh.find(name);
      auto addresses = asked != fresh.end() && asked->second ? *asked->second : resolve(name);
      if (!addresses) return fail(unresolved(std::move(addresses.error()), peer));
      resolved[name] = std::move(*addresses);
    }
  }
  return resolved;
}

Error Daemon::unresolved(Error error, const config::PeerConfig& peer) const {
  error.problem = "'" + error.where + "' " + error.problem;
  error.where = *options_.config_path;
  error.line = peer.endpoint_line.number;
  return error;
}

Result<std::string, Error> Daemon::reload() {
  if (!options_.config_path) {
    return fail(Error{options_.interface, 0, "", "was started without a file",
                      "use 'wg syncconf', or start it with a file"});
  }
  if (!resolver_) {
    return fail(Error{options_.interface, 0, "", "is starting or ending", "try again when it serves"});
  }
  auto file = read_config(*options_.config_path);
  if (!file) return fail(std::move(file.error()));
  const config::Config& wanted = file->config;
  auto found = resolve_for(wanted);
  if (!found) return fail(std::move(found.error()));
  config::ResolvedEndpoints resolved = std::move(*found);
  if (auto fine = check_wanted(wanted, resolved); !fine) return fail(std::move(fine.error()));
  if (auto changed = host_->change_to(wanted); !changed) return fail(std::move(changed.error()));
  config::DeviceChange change = config::change_between(config_, wanted, resolved);
  // Somebody may have set another by `wg`, past which what needs the mark shuts the encrypted packets out.
  const uint32_t mark = host_->mark_for(wanted);
  if (host::needs_mark(wanted) || mark != host_->mark_for(config_)) change.fwmark = mark;
  if (auto applied = device_->apply(change); !applied) {
    static_cast<void>(host_->change_to(config_));
    return fail(std::move(applied.error()));
  }
  if (wanted.interface.mtu != config_.interface.mtu) follow_mtu(wanted, resolved);
  log_.info("reloaded", {{"peers_changed", std::to_string(change.peers.size())}});
  config_ = wanted;
  resolved_ = std::move(resolved);
  recovery_->configure(config_, resolved_);
  name_peers();
  host_->remember(resolved_);
  watch_cgroups();
  host_->follow_cgroups(config_);
  follow_listen_port();
  host_->follow_endpoints(config_, endpoints());
  std::string later;
  for (const std::string_view key : config::keys_for_next_start(started_with_, config_.interface))
    later.append(later.empty() ? "" : ", ").append(key);
  if (later.empty()) return later;
  later = "what changed of " + later + " takes effect with the next start only";
  log_.warning("not all is reloaded", {{"reason", later}});
  return later;
}

Result<bool, Error> Daemon::check_wanted(const config::Config& wanted,
                                         const config::ResolvedEndpoints& resolved) {
  const std::string& file = *options_.config_path;
  if (wanted.interface.save_config && user_ && !may_replace(file, *user_)) {
    return fail(Error{file, 0, "SaveConfig",
                      "the user '" + started_with_.user + "' may not write in the file's folder",
                      "take SaveConfig or User out, or give the folder to that user"});
  }
  if (!host_) return true;
  return host_->check(wanted, resolved, file);
}

void Daemon::follow_mtu(const config::Config& wanted, const config::ResolvedEndpoints& resolved) {
  if (auto set = netlink_->set_mtu(device_->interface_index(), host_->mtu_for(wanted, resolved)); !set)
    log_.warning("MTU not changed", {{"error", set.error().to_string()}});
}

void Daemon::take_resolved() {
  config::DeviceChange change;
  bool is_changed = false;
  for (auto& [name, addresses] : resolver_->take_answers()) {
    if (const auto asked = new_names_.find(name); asked != new_names_.end()) {
      asked->second = std::move(addresses);
      continue;
    }
    if (!addresses) {
      log_.warning("endpoint not resolved", {{"error", addresses.error().to_string()}});
      continue;
    }
    const auto known = resolved_.find(name);
    const bool is_new = known == resolved_.end();
    // The same addresses in another order are nothing new.
    if (!is_new && std::is_permutation(known->second.begin(), known->second.end(), addresses->begin(),
                                       addresses->end())) {
      continue;
    }
    const UdpAddress first = addresses->front();
    log_.info("endpoint resolved", {{"name", name.to_string()}, {"address", first.to_string()}});
    for (const config::PeerConfig& peer : config_.peers) {
      if (peer.endpoints.empty() || peer.endpoints.front() != name) continue;
      config::PeerChange& one = change.peers.emplace_back(peer.public_key);
      one.update_only = true;
      one.endpoint = first;
      one.contact = config::Contact::kRefresh;
    }
    resolved_[name] = std::move(*addresses);
    is_changed = true;
  }
  if (reloads_when_resolved_) reload_by_itself();
  if (!is_changed) return;
  host_->remember(resolved_);
  host_->follow_endpoints(config_, endpoints());
  static_cast<void>(device_->apply(change));
  recovery_->configure(config_, resolved_);
}

void Daemon::save_config() {
  config::Config saved = config_;
  const config::DeviceReport report = device_->report();
  saved.interface.private_key = report.private_key;
  saved.interface.listen_port = report.listen_port;
  // The mark of a full tunnel is chosen anew at each start.
  if (report.fwmark != host_->mark_for(config_)) saved.interface.fwmark = report.fwmark;
  // Who was invited since has a name in the file alone: the control socket knows none.
  const auto file = read_config(*options_.config_path);
  saved.peers.clear();
  for (const config::PeerReport& peer : report.peers) {
    config::PeerConfig& one = saved.peers.emplace_back();
    if (const config::PeerConfig* known = config_.find_peer(peer.public_key)) {
      one = *known;
    } else if (const auto* invited = file ? file->config.find_peer(peer.public_key) : nullptr) {
      one.name = invited->name;
    }
    one.public_key = peer.public_key;
    one.preshared_key = peer.preshared_key.is_zero() ? std::nullopt : std::optional(peer.preshared_key);
    one.allowed_ips = peer.allowed_ips;
    one.persistent_keepalive = peer.persistent_keepalive;
    one.cipher = peer.cipher;
    one.rekey_after_bytes = peer.rekey_after_bytes;
    one.rekey_after_time = peer.rekey_after_time;
    // As wg-quick does, but that a name is not replaced by what it stood for, nor a choice by what was
    // chosen.
    const bool is_address = one.endpoints.size() == 1 && !is_host_name(one.endpoints.front());
    if (peer.endpoint && (one.endpoints.empty() || is_address)) {
      if (auto endpoint = config::EndpointName::parse(peer.endpoint->to_string()))
        one.endpoints = {*endpoint};
    }
  }
  if (auto written = write_config(*options_.config_path, saved); !written) {
    log_.warning("configuration not saved", {{"error", written.error().to_string()}});
  }
}

int run_daemon(const DaemonOptions& options) {
  Readiness readiness;
  if (options.background) {
    if (const auto exit_code = readiness.go_to_background()) return *exit_code;
  }
  forbid_core_dumps();
  Daemon daemon(options);
  if (auto started = daemon.start(); !started) {
    readiness.failed(started.error());
    return 1;
  } else if (!*started) {
    return 0;
  }
  readiness.ready();
  daemon.run();
  readiness.stopping();
  return 0;
}

}  // namespace vpn::daemon
