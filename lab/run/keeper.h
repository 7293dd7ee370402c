// Keeper: the one process of a standing lab. It is process 1 of the lab's PID namespace, so that its end is
// the end of all that runs in the lab, and with that of every namespace, link and table: nothing can be left
// behind.
//
// It carries the user-space wires, looks after daemons and services, applies scheduled weather, and answers
// on control.sock: one JSON object a connection, answered by one.
//   {"do":"status"}                                                   → what stands now
//   {"do":"impair","link":"wan","from":"left","change":"loss=5%"}     ("from" left out: both directions)
//   {"do":"link","link":"wan","up":false}
//   {"do":"down"}
// An answer is {"ok":…} or {"error":{"where":…,"what":…,"remedy":…}}.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "lab/engines/netem.h"
#include "lab/engines/wire.h"
#include "lab/error.h"
#include "lab/kernel/event_loop.h"
#include "lab/run/events.h"
#include "lab/run/host.h"
#include "lab/run/state_directory.h"
#include "lab/run/tunnels.h"
#include "lab/topology/topology.h"

namespace lab {

struct LabPlan {
  Topology topology;
  uint64_t seed = 0;
  bool seed_given = false;  // then runs are to be repeatable, which only the wire is
  bool rootless = false;
};

class Keeper : private Timed {
 public:
  Keeper(StateDirectory state, LabPlan plan);
  ~Keeper() override;

  // Builds the whole lab. After an Error the process is to end, and takes with it what was made.
  [[nodiscard]] Result<void> build();
  // Until told to go down, by the control socket or by SIGTERM.
  void serve();
  // Ends everything else that runs in the lab.
  void end_processes();

 private:
  // How one link is carried, as resolved for this kernel.
  struct CarriedLink {
    const Link* link;
    Engine engine;
    size_t wire = 0;  // its number in the wire, of Engine::kWire
    std::array<Impairment, 2> impairment;
    bool up = true;
    std::array<NetemCounters, 2> earlier{};  // of Engine::kNetem: under weather that was before
  };
  // A step of some link's schedule that is still to come.
  struct PendingChange {
    SteadyTime due;
    size_t link;
    Direction direction;
    std::string change;
  };

  Result<void> make_hosts();
  Result<void> make_switches();
  Result<void> make_link(const Link& link);
  Result<void> make_wire_link(CarriedLink& carried);
  Result<void> make_veth_link(CarriedLink& carried);
  Result<void> set_up_end(const Link& link, size_t end);
  Result<void> add_routes(const Host& host);
  Result<void> add_nats();
  [[nodiscard]] std::optional<IpAddress> outside_address(const Host& host) const;
  Result<void> start_tunnels();
  Result<void> start_services();
  Result<void> write_summary() const;
  [[nodiscard]] Engine choose_engine(const Link& link) const;
  // The namespace an end of a link lives in: its host's, or, of a switch, the keeper's own.
  [[nodiscard]] const UniqueFd& network_of(const LinkEnd& end);
  [[nodiscard]] Netlink& netlink_of(const LinkEnd& end);

  void accept_client();
  void hear_client(int fd);
  void speak_to_client(int fd);
  void dismiss_client(int fd);
  [[nodiscard]] std::string answer(const std::string& request);
  Result<void> impair(size_t link, Direction direction, const std::string& change);
  // Puts what `carried` says is in force, into force.
  Result<void> set_weather(CarriedLink& carried, Direction direction);
  Result<void> set_link_up(size_t link, bool up);
  [[nodiscard]] std::string status();
  // What one direction of a link has done, as far as its engine tells: a JSON object of numbers.
  [[nodiscard]] std::string counters_of(const CarriedLink& carried, Direction direction);
  void handle_signal();
  void reap();

  [[nodiscard]] std::optional<SteadyTime> next_due() const override;
  void handle_due(SteadyTime now) override;

  StateDirectory state_;
  LabPlan plan_;
  EventLoop loop_;
  Events events_;
  Fates fates_;
  Wire wire_;
  UniqueFd own_network_;  // where the switches are
  std::optional<Netlink> own_netlink_;
  bool has_netem_ = false;
  std::map<std::string, HostNamespace> hosts_;
  std::vector<CarriedLink> links_;
  std::vector<PendingChange> pending_;  // the next one last
  std::map<std::string, std::unique_ptr<TunnelKeys>> keys_;
  std::vector<Daemon> daemons_;
  struct RunningService {
    const Service* service;
    pid_t pid;
  };
  std::vector<RunningService> services_;
  // Somebody at the control socket. Who says nothing, or does not listen, keeps nobody waiting but himself.
  struct Client {
    UniqueFd socket;
    SteadyTime since;
    std::string request;
    std::string answer;  // what of it is still to be sent
  };
  std::map<int, Client> clients_;
  UniqueFd control_;
  UniqueFd signals_;
  SteadyTime came_up_{};
};

}  // namespace lab
