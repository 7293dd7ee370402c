// Topology: what a lab consists of, as a value. Everything in it is resolved: every name exists, every
// address is given, every template is expanded. parse_topology() makes one from TOML; nothing here touches
// the system.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lab/impair/impairment.h"
#include "vpn/base/ip_address.h"
#include "vpn/sim/fate.h"

namespace lab {

using vpn::IpAddress;
using vpn::IpPrefix;
using vpn::sim::Direction;

// What carries a link's packets, and its weather.
enum class Engine : uint8_t {
  kAuto,   // netem where the kernel has it and nothing asked for needs the wire; else the wire
  kNetem,  // a veth pair with netem qdiscs
  kWire,   // the user-space wire: repeatable, and on any kernel
  kVeth,   // a bare veth pair; it can have no weather but an MTU
};
// As a topology spells it.
[[nodiscard]] std::string_view to_string(Engine engine);
[[nodiscard]] std::optional<Engine> parse_engine(std::string_view text);

// A later change of the weather: `change` is applied (as set_impairments() reads it) to what is then in
// force.
struct ScheduledChange {
  Duration at{};  // since the lab came up
  std::string change;
};

// One direction's weather: what holds at first, and what changes it later.
struct Weather {
  Impairment initial;
  std::vector<ScheduledChange> schedule;  // in the order of time
};

// The first for which `is_sought` holds of all that is in force one after the other: the initial one, and
// what each change makes of it.
[[nodiscard]] std::optional<Impairment> find_in_course(
    const Weather& weather, const std::function<bool(const Impairment&)>& is_sought);

struct LinkEnd {
  std::string node;                 // a host or a switch
  std::string interface;            // in the host; on a switch the port's name
  std::vector<IpPrefix> addresses;  // host bits kept; empty on a switch
};

struct Link {
  std::string name;
  std::array<LinkEnd, 2> ends;
  unsigned mtu_bytes = 1500;
  Engine engine = Engine::kAuto;
  std::array<Weather, 2> weather;  // by Direction: forward is what ends[0] sends
  int line = 0;

  // The end that sends, and the one that receives, what goes in this direction.
  [[nodiscard]] const LinkEnd& sender(Direction direction) const {
    return ends[static_cast<size_t>(direction)];
  }
  [[nodiscard]] const LinkEnd& receiver(Direction direction) const {
    return ends[1 - static_cast<size_t>(direction)];
  }
};

// A bridge that joins links.
struct Switch {
  std::string name;
  std::vector<IpPrefix> subnets;
  int line = 0;
};

struct Route {
  IpPrefix to;
  std::optional<IpAddress> via;
  std::string interface;  // empty: found by `via`
  uint32_t metric = 0;    // of several routes to one place the one with the least is used
};

// How a router translates addresses, by the names of RFC 3489. Mapping and filtering are:
//   full cone         one mapping a source; anyone may answer to it
//   restricted cone   one mapping a source; only addresses it sent to may answer
//   port restricted   one mapping a source; only address and port it sent to may answer
//   symmetric         another mapping a destination; only that destination may answer
enum class NatKind : uint8_t { kFullCone, kRestricted, kPortRestricted, kSymmetric };
// As a topology spells it.
[[nodiscard]] std::string_view to_string(NatKind kind);
[[nodiscard]] std::optional<NatKind> parse_nat_kind(std::string_view text);

struct Nat {
  NatKind kind = NatKind::kPortRestricted;
  std::vector<std::string> inside;  // interfaces
  std::string outside;              // interface
  bool hairpin = false;             // inside hosts reach one another by the outside address
  Duration udp_timeout = std::chrono::seconds(30);
  int line = 0;
};

struct Host {
  std::string name;
  bool forward = false;  // a router
  std::vector<Route> routes;
  std::optional<Nat> nat;
  int line = 0;
};

enum class ServiceKind : uint8_t { kHttp, kDns, kIperf3, kCommand };
// As a topology spells it, and read back; nothing for a word that is none.
[[nodiscard]] std::string_view to_string(ServiceKind kind);
[[nodiscard]] std::optional<ServiceKind> parse_service_kind(std::string_view text);

// A program that runs in a host as long as the lab stands.
struct Service {
  std::string name;
  std::string host;
  ServiceKind kind = ServiceKind::kCommand;
  std::vector<std::string> command;  // of kCommand: argv
  int line = 0;
};

// A WireGuard peer as one member of a tunnel sees it.
struct TunnelPeer {
  std::string host;
  std::optional<vpn::UdpAddress> endpoint;  // none: waits to be spoken to
  std::vector<IpPrefix> allowed;
};

// One VPN daemon in one host.
struct TunnelMember {
  std::string host;
  std::vector<IpPrefix> addresses;
  uint16_t port = 0;  // 0: any
  std::string kind;   // the tunnel's, unless kind_of gave it another
  std::vector<TunnelPeer> peers;
  std::vector<IpPrefix> routes;  // of the tunnel's interface, beyond its own subnet
};

// One VPN: daemons of one kind, which know each other's keys.
struct Tunnel {
  std::string name;
  std::string interface;             // "wg0"
  std::string kind;                  // "vpn", "wireguard-go", "kernel", "command", or a command line
  std::vector<std::string> command;  // of "command": argv; {interface} stands for the interface's name
  unsigned mtu_bytes = 1420;
  uint16_t keepalive_seconds = 0;
  bool preshared_key = false;
  std::vector<TunnelMember> members;
  int line = 0;
};

struct Topology {
  std::string file;  // as named in messages
  std::string about;
  std::vector<Host> hosts;
  std::vector<Switch> switches;
  std::vector<Link> links;
  std::vector<Service> services;
  std::vector<Tunnel> tunnels;
  std::vector<std::pair<std::string, std::string>> parameters;  // as used, defaults included

  // By name; null where there is none.
  [[nodiscard]] const Host* find_host(std::string_view name) const;
  [[nodiscard]] const Link* find_link(std::string_view name) const;
  [[nodiscard]] const Switch* find_switch(std::string_view name) const;
};

// A name and a value given on the command line for a parameter of the topology.
using Setting = std::pair<std::string, std::string>;

struct ParsedTopology {
  Topology topology;
  std::vector<Error>
      problems;  // all that were found, in the order of their lines; empty: the topology is sound
};

// Reads a topology in TOML (lab/README.md describes the format). `file` is only its name in messages.
[[nodiscard]] ParsedTopology parse_topology(std::string_view text, const std::string& file,
                                            const std::vector<Setting>& settings = {});

// Names of hosts, links, labs …: a letter or digit, then letters, digits, '-' or '_', at most `longest` in
// all.
[[nodiscard]] bool is_valid_name(std::string_view name, size_t longest);

inline constexpr size_t kLongestInterfaceName = 15;  // IFNAMSIZ − 1
inline constexpr size_t kLongestName = 32;

}  // namespace lab
