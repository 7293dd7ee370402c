// Daemon: one interface from start to end: its configuration, its device, the host around it, and its control
// socket.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/config.h"
#include "vpn/daemon/control_server.h"
#include "vpn/daemon/device.h"
#include "vpn/daemon/hook_runner.h"
#include "vpn/daemon/host_side.h"
#include "vpn/daemon/log.h"
#include "vpn/daemon/privileges.h"
#include "vpn/daemon/recovery.h"
#include "vpn/daemon/resolver.h"
#include "vpn/daemon/state_file.h"
#include "vpn/host/cgroups.h"
#include "vpn/host/firewall_monitor.h"
#include "vpn/host/link_monitor.h"
#include "vpn/host/netlink.h"
#include "vpn/io/event_loop.h"
#include "vpn/io/system.h"

namespace vpn::daemon {

struct DaemonOptions {
  std::string interface;
  std::optional<std::string> config_path;  // empty: starts bare, and is configured over the control socket
  bool background = false;
  std::optional<std::string> key_log;  // see Device::Options
  LogOptions log;
};

class Daemon {
 public:
  explicit Daemon(DaemonOptions options);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Brings everything up; after an error everything that was made is gone again. False: whoever asked it to
  // end did so before it served, and its destructor undoes what was made.
  [[nodiscard]] Result<bool, Error> start();
  // Serves until a signal, a `stop` request, or the removal of the interface or of the socket file; then
  // takes everything down.
  void run();

 private:
  using Addresses = Result<std::vector<UdpAddress>, Error>;

  [[nodiscard]] Result<bool, Error> load_config();
  [[nodiscard]] Result<bool, Error> prepare_host();
  [[nodiscard]] Result<bool, Error> resolve_all();
  [[nodiscard]] std::map<config::EndpointName, Addresses> resolve_names();
  [[nodiscard]] Result<bool, Error> make_device();
  [[nodiscard]] Result<bool, Error> set_up_host();
  [[nodiscard]] Result<bool, Error> watch_network();
  void follow_link(bool is_up);
  void follow_listen_port();
  void watch_firewall();
  void watch_cgroups();
  [[nodiscard]] Result<bool, Error> listen();
  [[nodiscard]] Result<bool, Error> confine();
  // Serves meanwhile: the commands may ask for the interface by `wg` and use the tunnel. Whoever asks for the
  // end of the tunnel ends the command.
  [[nodiscard]] Result<bool, Error> run_hooks(HookPhase phase);
  // The same of a phase of going up. False: it was ended, and so is the tunnel to be.
  [[nodiscard]] Result<bool, Error> run_hooks_of_start(HookPhase phase);
  void take_down();

  void on_signal(int signal);
  void after_round();
  [[nodiscard]] std::string answer(std::string_view operation, std::string_view lines);
  [[nodiscard]] std::string answer_set(std::string_view lines);
  [[nodiscard]] std::string answer_reload();
  // Makes what runs what the file says now; on an error everything stays as it was. Returns what the next
  // start only will change, in words; empty: nothing.
  [[nodiscard]] Result<std::string, Error> reload();
  // Before reload(): has the names of the file that are new looked up in the background; true: not all are
  // known yet.
  [[nodiscard]] Result<bool, Error> ask_new_names();
  [[nodiscard]] Result<config::ResolvedEndpoints, Error> resolve_for(const config::Config& wanted);
  [[nodiscard]] Error unresolved(Error error, const config::PeerConfig& peer) const;
  // On SIGHUP, and again when the names that it waits for are known.
  void reload_by_itself();
  [[nodiscard]] Result<bool, Error> check_wanted(const config::Config& wanted,
                                                 const config::ResolvedEndpoints& resolved);
  void follow_mtu(const config::Config& wanted, const config::ResolvedEndpoints& resolved);
  [[nodiscard]] std::vector<UdpAddress> endpoints() const;
  void name_peers();
  void take_resolved();
  void save_config();
  void stop(std::string_view why);
  // Because somebody asked for it; again, where a command of going down takes too long.
  void stop_on_request(std::string_view why);

  DaemonOptions options_;
  Log log_;
  io::SystemRandom random_;
  std::optional<io::EventLoop> loop_;
  config::Config config_;                 // as the file said when it was last applied
  config::InterfaceConfig started_with_;  // but for the private key
  config::ResolvedEndpoints resolved_;
  // Names that a reload waits for, and what has come of them.
  std::map<config::EndpointName, std::optional<Addresses>> new_names_;
  bool reloads_when_resolved_ = false;
  std::unique_ptr<host::DnsProcess> dns_;  // none when it starts bare
  std::unique_ptr<HookRunner> hooks_;
  std::optional<UserIds> user_;
  std::unique_ptr<StateFile> state_;
  std::unique_ptr<Device> device_;
  std::optional<host::Netlink> netlink_;
  std::unique_ptr<HostSide> host_;  // none when it starts bare
  std::unique_ptr<host::LinkMonitor> link_monitor_;
  std::unique_ptr<host::FirewallMonitor> firewall_monitor_;  // where the kernel has nf_tables
  std::unique_ptr<host::CgroupMonitor> cgroup_monitor_;      // where the configuration names any
  std::unique_ptr<Recovery> recovery_;
  std::unique_ptr<BackgroundResolver> resolver_;
  std::unique_ptr<ControlServer> control_;
  bool ending_ = false;
  bool runs_hooks_ = false;
  bool is_link_up_ = false;  // as the kernel was last heard to say
  bool interface_gone_ = false;
  // Only who asks for the end of the tunnel lifts it, not who restarts the daemon.
  host::KillSwitchAtEnd kill_switch_at_end_ = host::KillSwitchAtEnd::kLeave;
  bool serving_ = false;  // start() succeeded, so that the hooks of going down are due
};

// The whole life of a daemon; returns the exit code. Errors are told to whoever started it.
[[nodiscard]] int run_daemon(const DaemonOptions& options);

}  // namespace vpn::daemon
