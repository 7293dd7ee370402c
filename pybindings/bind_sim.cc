// World: nodes on a network of impaired links, in virtual time. Python names nodes by their names.
#include <exception>
#include <map>
#include <memory>
#include <utility>

#include "pybindings/bindings.h"
#include "pybindings/node_values.h"
#include "vpn/sim/world.h"
#include "vpn/wire/messages.h"

namespace vpn::python {
namespace {

using sim::Direction;

// A datagram as it left a node or reached one. Bytes are kept as a string: records are made while the GIL is
// released.
struct SeenDatagram {
  double when = 0;
  std::string node;
  std::string other;  // where to, or where from
  std::string message;
  std::string datagram;
  std::optional<core::Drop> drop;
  std::string packet;
};
struct SeenEvent {
  std::string node;
  PyEvent event;
};

std::string to_string(BytesView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Keeps everything that happened, for reading it afterwards.
class Recorder final : public sim::Observer {
 public:
  explicit Recorder(const sim::World& world) : world_(world) {}

  void on_transmit(const sim::TransmitSeen& seen) override {
    sent.push_back({to_seconds(seen.when.time_since_epoch()),
                    world_.node_name(seen.node),
                    seen.to.to_string(),
                    std::string(sim::message_class_name(seen.message)),
                    to_string(seen.datagram),
                    std::nullopt,
                    {}});
  }
  void on_receive(const sim::ReceiveSeen& seen) override {
    received.push_back({to_seconds(seen.when.time_since_epoch()), world_.node_name(seen.node),
                        seen.from.to_string(), std::string(sim::message_class_name(seen.message)),
                        to_string(seen.datagram), seen.drop, to_string(seen.packet)});
  }
  void on_event(sim::NodeId node, const core::Event& event) override {
    events.push_back({world_.node_name(node), to_python(event)});
  }

  std::vector<SeenDatagram> sent, received;
  std::vector<SeenEvent> events;

 private:
  const sim::World& world_;
};

Duration duration_of(double seconds) {
  return to_instant(seconds).time_since_epoch();
}

std::chrono::seconds whole_seconds(uint32_t seconds, std::string_view field) {
  if (seconds > 65535) throw py::value_error(std::string(field) + " is 0 … 65535 seconds");
  return std::chrono::seconds(seconds);
}

// What one direction of a link does to packets, in Python's units.
struct PyImpairment {
  double loss = 0, delay = 0, jitter = 0, reorder = 0, duplicate = 0, corrupt = 0;
  double burst_share = 0, burst_packets = 1;
  std::vector<std::string> drops;
  uint32_t mtu = 0;
  uint64_t rate = 0;

  [[nodiscard]] sim::Impairment to_sim() const {
    sim::Impairment result;
    result.loss = loss;
    result.delay = duration_of(delay);
    result.jitter = duration_of(jitter);
    result.reorder = reorder;
    result.duplicate = duplicate;
    result.corrupt = corrupt;
    if (burst_share > 0) {
      if (!(burst_share < 1 && burst_packets >= 1))
        throw py::value_error("burst_share is 0 … 1, burst_packets 1 or more");
      result.burst.bad_to_good = 1 / burst_packets;
      result.burst.good_to_bad = burst_share / (burst_packets * (1 - burst_share));
    }
    for (const std::string& text : drops) {
      const auto rule = sim::DropRule::parse(text);
      if (!rule)
        throw py::value_error("'" + text + "' is no drop rule; write response:2, data:10-20 or cookie");
      result.drops.push_back(*rule);
    }
    result.mtu_bytes = mtu;
    result.rate_bits_per_second = rate;
    return result;
  }
};

using Callback = py::function;

class PyWorld {
 public:
  explicit PyWorld(uint64_t seed) : world_(std::make_unique<sim::World>(seed)), recorder_(*world_) {
    world_->add_observer(recorder_);
    world_->log().keep_lines(true);
  }

  void add_node(const std::string& name, uint16_t mtu, double clock_offset, int32_t clock_drift_ppm,
                uint32_t handshakes_per_second) {
    if (nodes_.contains(name)) throw py::value_error("there is a node " + name + " already");
    core::NodeOptions options;
    options.mtu = mtu;
    options.handshakes_per_second = handshakes_per_second;
    const sim::NodeId id = world().add_node({name, options, offset_of(clock_offset), clock_drift_ppm});
    nodes_.emplace(name, id);
  }

  void connect(const std::string& first, const std::string& second, bool configure, crypto::Suite suite,
               bool preshared_key, bool first_knows_second, bool second_knows_first, uint32_t first_keepalive,
               uint32_t second_keepalive, uint32_t after_seconds, uint64_t after_bytes,
               uint64_t after_messages) {
    sim::TunnelSetup setup;
    setup.configure = configure;
    setup.suite = suite;
    setup.preshared_key = preshared_key;
    setup.first_knows_second = first_knows_second;
    setup.second_knows_first = second_knows_first;
    setup.first_keepalive = whole_seconds(first_keepalive, "first_keepalive");
    setup.second_keepalive = whole_seconds(second_keepalive, "second_keepalive");
    if (after_seconds < 1 || after_seconds > 120) throw py::value_error("after_seconds is 1 … 120");
    if (after_messages < 1 || after_messages > setup.rekey.after_messages) {
      throw py::value_error("after_messages is 1 … 2^60");
    }
    setup.rekey = {std::chrono::seconds(after_seconds), after_bytes, after_messages};
    if (world().link_between(id(first), id(second)))
      throw py::value_error(first + " and " + second + " are joined already");
    if (first == second) throw py::value_error("a link joins two nodes");
    world().connect(id(first), id(second), setup);
  }

  void impair(const std::string& sender, const std::string& receiver, const PyImpairment& impairment) {
    const auto [link, direction] = way(sender, receiver);
    world().set_impairment(link, direction, impairment.to_sim());
  }
  void set_up(const std::string& sender, const std::string& receiver, bool up) {
    const auto [link, direction] = way(sender, receiver);
    world().set_up(link, direction, up);
  }
  void intercept(const std::string& first, const std::string& second,
                 const std::optional<Callback>& callback) {
    const auto link = way(first, second).first;
    if (!callback) return world().set_interceptor(link, {});
    world().set_interceptor(
        link, [this, callback = *callback](sim::NodeId sender, sim::MessageClass message, BytesView bytes) {
          return ask(callback, sender, message, bytes);
        });
  }
  void change_address(const std::string& node) { world().change_address(id(node)); }
  void put_behind_nat(const std::string& node, double timeout, bool restricted) {
    world().put_behind_nat(id(node), {duration_of(timeout), restricted});
  }
  void rebind_nat(const std::string& node) { world().rebind_nat(id(node)); }
  void step_clock(const std::string& node, double by) { world().step_clock(id(node), offset_of(by)); }
  void restart(const std::string& node) { world().restart(id(node)); }

  uint64_t send(const std::string& sender, const std::string& receiver, size_t length, bool ipv6) {
    if (length < 64 || length > 65000) throw py::value_error("length is 64 … 65000 bytes");
    const sim::NodeId from = id(sender), to = id(receiver);
    sim::World& running = world();
    sim::PacketId packet = 0;
    {
      const Running mark(running_);
      packet = running.send_packet(from, to, length, ipv6 ? IpFamily::kIpv6 : IpFamily::kIpv4);
    }
    rethrow();
    return packet;
  }
  void send_raw(const std::string& sender, const py::bytes& packet) {
    const BytesView view = view_of(packet);
    if (view.size() > wire::kMaxUdpPayloadBytes) throw py::value_error("packet: at most 65,507 bytes");
    const sim::NodeId from = id(sender);
    sim::World& running = world();
    {
      const Running mark(running_);
      running.send_raw_packet(from, view);
    }
    rethrow();
  }
  void inject(const std::string& receiver, const std::string& source, const py::bytes& datagram,
              double delay) {
    const BytesView view = view_of(datagram);
    if (view.size() > wire::kMaxUdpPayloadBytes) throw py::value_error("datagram: at most 65,507 bytes");
    world().inject(id(receiver), parse_endpoint(source), view, duration_of(delay));
  }

  double now() const { return asked_at_ ? *asked_at_ : to_seconds(world().now().time_since_epoch()); }
  void run_for(double seconds) {
    const Duration duration = duration_of(seconds);
    sim::World& running = world();
    {
      const Running mark(running_);
      const py::gil_scoped_release released;
      running.run_for(duration);
    }
    rethrow();
  }

  sim::PacketRecord packet(uint64_t number) const {
    if (number >= world().packets().size())
      throw py::value_error("no such packet: " + std::to_string(number));
    return world().packet(number);
  }
  std::vector<SeenDatagram> sent() const { return recorder().sent; }
  std::vector<SeenDatagram> received() const { return recorder().received; }
  std::vector<SeenEvent> events() const { return recorder().events; }
  std::map<std::string, uint64_t> drops(const std::string& node) { return drops_of(world().node(id(node))); }
  core::PeerStatus status(const std::string& node, const std::string& of) {
    auto status = world().node(id(node)).status(peer(node, of), world().now());
    if (!status) throw py::value_error(node + " does not know " + of);
    return std::move(*status);
  }
  void set_preshared_key(const std::string& node, const std::string& of, const py::bytes& key) {
    world().node(id(node)).set_preshared_key(peer(node, of), Secret<32>(fixed_bytes<32>(key, "key")));
  }
  py::bytes public_key(const std::string& node) const { return to_bytes(world().public_key(id(node)).bytes); }
  std::optional<std::string> address(const std::string& node) const {
    const auto address = world().public_address(id(node));
    return address ? std::optional(address->to_string()) : std::nullopt;
  }
  std::string inner_address(const std::string& node, bool ipv6) const {
    return sim::World::inner_address(id(node), ipv6 ? IpFamily::kIpv6 : IpFamily::kIpv4).to_string();
  }
  std::vector<std::string> log() const { return world().log().lines(); }
  std::string log_hash() const { return world().log().hash(); }

 private:
  // Marks that time passes: another thread, or an adversary's callback, then finds the world busy.
  struct Running {
    explicit Running(bool& flag) : flag_(flag) { flag_ = true; }
    ~Running() { flag_ = false; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    bool& flag_;
  };
  // While a callback runs: when it was asked, under the GIL, for that much it may know.
  struct Asking {
    Asking(std::optional<double>& at, double now) : at_(at) { at_ = now; }
    ~Asking() { at_.reset(); }
    Asking(const Asking&) = delete;
    Asking& operator=(const Asking&) = delete;
    std::optional<double>& at_;
  };
  sim::World& world() const {
    if (running_) throw std::runtime_error("the world is running: no call until run_for() or send() returns");
    return *world_;
  }
  const Recorder& recorder() const {
    (void)world();
    return recorder_;
  }

  // What an adversary's callback raises is kept, and the datagram lost: the world must not stop in the midst
  // of a step.
  std::optional<std::vector<sim::World::Onward>> ask(const Callback& callback, sim::NodeId sender,
                                                     sim::MessageClass message, BytesView bytes) {
    const py::gil_scoped_acquire held;
    const Asking mark(asked_at_, to_seconds(world_->now().time_since_epoch()));
    try {
      const auto answer =
          callback(world_->node_name(sender), std::string(sim::message_class_name(message)), to_bytes(bytes))
              .cast<std::optional<std::vector<std::pair<double, py::bytes>>>>();
      return answer ? std::optional(onwards_of(*answer)) : std::nullopt;
    } catch (...) {
      if (!raised_) raised_ = std::current_exception();
      return std::vector<sim::World::Onward>{};
    }
  }
  static std::vector<sim::World::Onward> onwards_of(const std::vector<std::pair<double, py::bytes>>& answer) {
    std::vector<sim::World::Onward> onwards;
    for (const auto& [delay, datagram] : answer) {
      const BytesView view = view_of(datagram);
      if (view.size() > wire::kMaxUdpPayloadBytes) throw py::value_error("datagram: at most 65,507 bytes");
      onwards.push_back({duration_of(delay), {view.begin(), view.end()}});
    }
    return onwards;
  }
  // Raises what a callback raised, now that the step is done.
  void rethrow() {
    if (raised_) std::rethrow_exception(std::exchange(raised_, nullptr));
  }

  // Seconds, either way.
  static Duration offset_of(double seconds) {
    return seconds < 0 ? -duration_of(-seconds) : duration_of(seconds);
  }
  sim::NodeId id(const std::string& name) const {
    const auto found = nodes_.find(name);
    if (found == nodes_.end()) throw py::value_error("no such node: " + name);
    return found->second;
  }
  PeerId peer(const std::string& node, const std::string& of) const {
    const auto peer = world().peer_id(id(node), id(of));
    if (!peer) throw py::value_error(node + " does not know " + of);
    return *peer;
  }
  std::pair<sim::LinkId, Direction> way(const std::string& sender, const std::string& receiver) const {
    const auto link = world().link_between(id(sender), id(receiver));
    if (!link) throw py::value_error(sender + " and " + receiver + " are not joined");
    return {*link, world().link_ends(*link).first == id(sender) ? Direction::kForward : Direction::kBackward};
  }

  std::unique_ptr<sim::World> world_;
  Recorder recorder_;
  bool running_ = false;
  std::optional<double> asked_at_;
  std::exception_ptr raised_;
  std::map<std::string, sim::NodeId> nodes_;
};

void bind_records(py::module_& module) {
  py::class_<PyImpairment>(module, "Impairment",
                           "What one direction of a link does to packets. Shares are 0 … 1.")
      .def(py::init([](double loss, double delay, double jitter, double reorder, double duplicate,
                       double corrupt, double burst_share, double burst_packets,
                       std::vector<std::string> drops, uint32_t mtu, uint64_t rate) {
             return PyImpairment{loss,        delay,         jitter,           reorder, duplicate, corrupt,
                                 burst_share, burst_packets, std::move(drops), mtu,     rate};
           }),
           py::arg("loss") = 0.0, py::arg("delay") = 0.0, py::arg("jitter") = 0.0, py::arg("reorder") = 0.0,
           py::arg("duplicate") = 0.0, py::arg("corrupt") = 0.0, py::arg("burst_share") = 0.0,
           py::arg("burst_packets") = 1.0, py::arg("drops") = std::vector<std::string>{}, py::arg("mtu") = 0,
           py::arg("rate") = 0,
           "Seconds, bytes and bits per second. `drops` lists what is lost by number: response:2, "
           "data:10-20, cookie. Losses "
           "in bursts have a share of all packets and a mean length in packets.");
  py::class_<SeenDatagram>(module, "SeenDatagram", "A datagram that left a node, or reached one.")
      .def_readonly("when", &SeenDatagram::when)
      .def_readonly("node", &SeenDatagram::node, "Whose.")
      .def_readonly("other", &SeenDatagram::other, "Where it goes to, or came from, as address:port.")
      .def_readonly("message", &SeenDatagram::message,
                    "initiation, response, cookie, data, keepalive or other.")
      .def_property_readonly("datagram", [](const SeenDatagram& self) { return py::bytes(self.datagram); })
      .def_readonly("drop", &SeenDatagram::drop, "Why the receiving node dropped it, if it did.")
      .def_property_readonly(
          "packet", [](const SeenDatagram& self) { return py::bytes(self.packet); },
          "The inner packet delivered, or empty.");
  py::class_<SeenEvent>(module, "SeenEvent", "An event of one node.")
      .def_readonly("node", &SeenEvent::node)
      .def_readonly("event", &SeenEvent::event);
  py::class_<sim::PacketRecord>(module, "PacketRecord", "The life of one inner packet.")
      .def_property_readonly(
          "sent_at",
          [](const sim::PacketRecord& self) { return to_seconds(self.sent_at.time_since_epoch()); })
      .def_readonly("refused", &sim::PacketRecord::refused, "Why the sender's node refused it, if it did.")
      .def_readonly("delivered_count", &sim::PacketRecord::delivered_count)
      .def_property_readonly("delivered_at", [](const sim::PacketRecord& self) -> std::optional<double> {
        if (self.delivered_count == 0) return std::nullopt;
        return to_seconds(self.delivered_at.time_since_epoch());
      });
}

void bind_building(py::class_<PyWorld>& world) {
  world.def(py::init<uint64_t>(), py::arg("seed"))
      .def("add_node", &PyWorld::add_node, py::arg("name"), py::arg("mtu") = 1420,
           py::arg("clock_offset") = 0.0, py::arg("clock_drift_ppm") = 0,
           py::arg("handshakes_per_second") = 1000)
      .def("connect", &PyWorld::connect, py::arg("first"), py::arg("second"), py::arg("configure") = true,
           py::arg("suite") = crypto::Suite::kChaCha20Poly1305, py::arg("preshared_key") = false,
           py::arg("first_knows_second") = true, py::arg("second_knows_first") = true,
           py::arg("first_keepalive") = 0, py::arg("second_keepalive") = 0, py::arg("after_seconds") = 120,
           py::arg("after_bytes") = 0, py::arg("after_messages") = uint64_t{1} << 60,
           "Joins two nodes and makes them each other's peers. The after_… limit a session's life.")
      .def("impair", &PyWorld::impair, py::arg("sender"), py::arg("receiver"), py::arg("impairment"),
           "The weather for what the sender sends to the receiver from now on.")
      .def("plug", &PyWorld::set_up, py::arg("sender"), py::arg("receiver"), py::arg("up"),
           "One direction of the link.")
      .def("intercept", &PyWorld::intercept, py::arg("first"), py::arg("second"), py::arg("callback"),
           "Puts an adversary between two nodes: callback(sender, message, datagram) is asked about every "
           "datagram, and returns None to let it pass, or the list of what goes on instead, as pairs of "
           "seconds and bytes. None for no adversary. Within the callback the world takes no calls, and "
           "tells its time alone.")
      .def("change_address", &PyWorld::change_address, py::arg("node"),
           "The node moves to another address and port.")
      .def("put_behind_nat", &PyWorld::put_behind_nat, py::arg("node"), py::arg("timeout") = 300.0,
           py::arg("restricted") = false)
      .def("rebind_nat", &PyWorld::rebind_nat, py::arg("node"), "The node's NAT forgets its mapping.")
      .def("step_clock", &PyWorld::step_clock, py::arg("node"), py::arg("by"), "The node's wall clock jumps.")
      .def("restart", &PyWorld::restart, py::arg("node"),
           "The node dies and comes back; its sessions are lost.")
      .def("set_preshared_key", &PyWorld::set_preshared_key, py::arg("node"), py::arg("of"), py::arg("key"));
}

}  // namespace

void bind_sim(py::module_& module) {
  bind_records(module);
  py::class_<PyWorld> world(
      module, "World",
      "Nodes on a network of impaired links, in virtual time: the same seed, the same world. Time passes "
      "in run_for() alone.");
  bind_building(world);
  world
      .def("send", &PyWorld::send, py::arg("sender"), py::arg("receiver"), py::arg("length") = 100,
           py::arg("ipv6") = false,
           "Sends an inner UDP packet of `length` bytes through the tunnel; its number for packet().")
      .def("send_raw", &PyWorld::send_raw, py::arg("sender"), py::arg("packet"),
           "Hands any bytes to the node's tunnel.")
      .def("inject", &PyWorld::inject, py::arg("receiver"), py::arg("source"), py::arg("datagram"),
           py::arg("delay") = 0.0, "A datagram that nobody sent arrives, as if from `source`.")
      .def_property_readonly("now", &PyWorld::now)
      .def("run_for", &PyWorld::run_for, py::arg("seconds"))
      .def("packet", &PyWorld::packet, py::arg("number"))
      .def("sent", &PyWorld::sent, "Every datagram that left a node, in order.")
      .def("received", &PyWorld::received, "Every datagram that reached a node, in order.")
      .def("events", &PyWorld::events)
      .def("drops", &PyWorld::drops, py::arg("node"),
           "Counts by reason; reasons that never occurred are left out.")
      .def("status", &PyWorld::status, py::arg("node"), py::arg("of"))
      .def("public_key", &PyWorld::public_key, py::arg("node"))
      .def("address", &PyWorld::address, py::arg("node"),
           "Where the others see it; None behind a NAT without mapping.")
      .def("inner_address", &PyWorld::inner_address, py::arg("node"), py::arg("ipv6") = false)
      .def("log", &PyWorld::log, "What happened, one line an event.")
      .def("log_hash", &PyWorld::log_hash);
}

}  // namespace vpn::python
