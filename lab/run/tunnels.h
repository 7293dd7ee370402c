// Tunnels: the VPN daemons of a lab: their keys, their processes, and what they are told through the control
// socket.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lab/error.h"
#include "lab/run/host.h"
#include "lab/run/state_directory.h"
#include "lab/topology/topology.h"
#include "vpn/base/ids.h"
#include "vpn/base/secret.h"

namespace lab {

struct KeyPair {
  vpn::Secret<32> private_key;
  vpn::PublicKey public_key;
};

// The keys of one tunnel: a pair a member, and (where it has them) a pre-shared key a pair of members.
class TunnelKeys {
 public:
  // Draws them from the system's generator.
  explicit TunnelKeys(const Tunnel& tunnel);
  [[nodiscard]] const KeyPair& of(const std::string& host) const { return pairs_.at(host); }
  // Nothing where the tunnel has none.
  [[nodiscard]] const vpn::Secret<32>* preshared(const std::string& a, const std::string& b) const;
  // The long-term keys in Wireshark's key log format. They open the handshakes' static parts and timestamps;
  // for the data it needs the ephemeral keys besides: see key_log_file().
  [[nodiscard]] std::string key_log() const;

 private:
  std::map<std::string, KeyPair> pairs_;
  std::map<std::pair<std::string, std::string>, vpn::Secret<32>> preshared_;
};

// One daemon, as far as it is a process.
struct Daemon {
  const Tunnel* tunnel;
  const TunnelMember* member;
  pid_t pid = 0;  // 0: the kernel's own
};

// Where the daemon of a member listens, as seen outside the hosts.
[[nodiscard]] std::string control_socket(const StateDirectory& state, const std::string& host,
                                         const std::string& interface);
[[nodiscard]] std::string daemon_log(const StateDirectory& state, const std::string& host,
                                     const std::string& interface);

// Where a daemon of kind "vpn" writes the keys of its sessions, as seen outside the hosts. A lab's keys are
// its own and last as long as it does; no other kind gives them away.
[[nodiscard]] std::string key_log_file(const StateDirectory& state, const std::string& host,
                                       const std::string& interface);

// Starts the daemon of one member; configure_daemon() waits for it.
[[nodiscard]] Result<Daemon> start_daemon(const StateDirectory& state, HostNamespace& host,
                                          const Tunnel& tunnel, const TunnelMember& member);
// Waits for its control socket and interface, sets keys and peers, then addresses and routes.
[[nodiscard]] Result<void> configure_daemon(const StateDirectory& state, HostNamespace& host,
                                            const Daemon& daemon, const TunnelKeys& keys);

// The file of a program of this project or of the system: in $LAB_PROGRAMS, next to the running program, or
// in PATH.
[[nodiscard]] Result<std::string> find_program(const std::string& name);

}  // namespace lab
