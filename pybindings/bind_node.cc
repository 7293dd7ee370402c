// Node: the whole protocol for one interface, driven by hand.
#include <map>
#include <variant>

#include "pybindings/bindings.h"
#include "pybindings/node_values.h"
#include "vpn/core/node.h"
#include "vpn/sim/seeded_random.h"
#include "vpn/wire/messages.h"

namespace vpn::python {

std::string endpoint_text(const core::Endpoint& endpoint) {
  return endpoint.remote.to_string();
}

PyEvent to_python(const core::Event& event) {
  return {std::string(core::event_name(event.kind)),
          event.peer.value,
          to_seconds(event.when.time_since_epoch()),
          event.endpoint ? std::optional(endpoint_text(*event.endpoint)) : std::nullopt,
          event.drop,
          event.initiator};
}

std::map<std::string, uint64_t> drops_of(const core::Node& node) {
  std::map<std::string, uint64_t> counts;
  for (size_t i = 0; i < core::kDropCount; ++i) {
    const auto drop = static_cast<core::Drop>(i);
    if (const uint64_t count = node.drops().of(drop)) counts.emplace(core::drop_name(drop), count);
  }
  return counts;
}

namespace {

struct PyTransmit {
  std::string to;
  uint8_t tos = 0;
  std::optional<uint32_t> peer;
  py::bytes datagram;
};

PyTransmit transmit_of(const core::Transmit& transmit) {
  return {endpoint_text(transmit.to), transmit.tos,
          transmit.peer ? std::optional(transmit.peer->value) : std::nullopt, to_bytes(transmit.datagram)};
}

// A Node with its random source, and the time it was last told: going back raises instead of breaking its
// contract.
class PyNode {
 public:
  PyNode(const std::optional<Keypair>& keypair, uint64_t seed, uint16_t mtu, double unix_start,
         uint32_t handshakes_per_second)
      : random_(std::make_unique<sim::SeededRandom>(seed, "node")), unix_start_(unix_start) {
    core::NodeOptions options;
    options.mtu = mtu;
    options.handshakes_per_second = handshakes_per_second;
    node_ = std::make_unique<core::Node>(make_aeads(), *random_, options, at(0));
    if (keypair) node_->set_private_key(keypair->private_key, at(0));
  }

  void set_keypair(const std::optional<Keypair>& keypair, double now) {
    node_->set_private_key(keypair ? std::optional(keypair->private_key) : std::nullopt, at(now));
  }
  std::optional<py::bytes> public_key() const {
    const auto key = node_->public_key();
    return key ? std::optional(to_bytes(key->bytes)) : std::nullopt;
  }

  uint32_t add_peer(const py::bytes& public_key, const std::vector<std::string>& allowed_ips,
                    const std::optional<std::string>& endpoint, const std::optional<py::bytes>& preshared_key,
                    uint32_t persistent_keepalive, crypto::Suite suite, std::optional<double> now) {
    // Everything is read before anything is changed.
    const PublicKey key{fixed_bytes<32>(public_key, "public_key")};
    std::vector<IpPrefix> prefixes;
    prefixes.reserve(allowed_ips.size());
    for (const std::string& text : allowed_ips) prefixes.push_back(parse_prefix(text));
    const auto remote = endpoint ? std::optional(parse_endpoint(*endpoint)) : std::nullopt;
    const auto psk =
        preshared_key ? fixed_bytes<32>(*preshared_key, "preshared_key") : std::array<uint8_t, 32>{};
    check_keepalive(persistent_keepalive);
    const Now time = now ? at(*now) : latest();

    const auto peer = node_->add_peer(key, suite, time);
    if (!peer) throw py::value_error(std::string(core::node_error_meaning(peer.error())));
    for (const IpPrefix& prefix : prefixes) node_->allow(*peer, prefix);
    node_->set_preshared_key(*peer, Secret<32>(psk));
    if (remote) node_->set_endpoint(*peer, core::Endpoint{*remote, std::nullopt, 0}, time);
    if (persistent_keepalive != 0) {
      node_->set_persistent_keepalive(*peer, std::chrono::seconds(persistent_keepalive), time);
    }
    return peer->value;
  }

  void set_preshared_key(uint32_t peer, const py::bytes& key) {
    node_->set_preshared_key(PeerId{peer}, Secret<32>(fixed_bytes<32>(key, "key")));
  }
  void set_endpoint(uint32_t peer, const std::string& endpoint, double now) {
    node_->set_endpoint(PeerId{peer}, core::Endpoint{parse_endpoint(endpoint), std::nullopt, 0}, at(now));
  }
  void set_persistent_keepalive(uint32_t peer, uint32_t seconds, double now) {
    check_keepalive(seconds);
    node_->set_persistent_keepalive(PeerId{peer}, std::chrono::seconds(seconds), at(now));
  }
  void set_rekey_limits(uint32_t peer, uint32_t after_seconds, uint64_t after_bytes,
                        uint64_t after_messages) {
    const core::RekeyLimits loosest;
    if (after_seconds < 1 || std::chrono::seconds(after_seconds) > loosest.after_time) {
      throw py::value_error("after_seconds is 1 … 120");
    }
    if (after_messages < 1 || after_messages > loosest.after_messages) {
      throw py::value_error("after_messages is 1 … 2^60");
    }
    node_->set_rekey_limits(PeerId{peer}, {std::chrono::seconds(after_seconds), after_bytes, after_messages});
  }
  void allow(uint32_t peer, const std::string& prefix) { node_->allow(PeerId{peer}, parse_prefix(prefix)); }
  void disallow(uint32_t peer, const std::string& prefix) {
    node_->disallow(PeerId{peer}, parse_prefix(prefix));
  }
  void remove_peer(uint32_t peer) { node_->remove_peer(PeerId{peer}); }
  void go_down() { node_->go_down(); }
  void come_up(double now) { node_->come_up(at(now)); }

  std::variant<py::bytes, core::Drop> receive_datagram(const std::string& source, const py::bytes& datagram,
                                                       double now, unsigned ecn) {
    const BytesView view = view_of(datagram);
    if (view.size() > wire::kMaxUdpPayloadBytes) throw py::value_error("datagram: at most 65,507 bytes");
    if (ecn > 3) throw py::value_error("ecn is 0 … 3");
    const core::Endpoint from{parse_endpoint(source), std::nullopt, 0};
    std::vector<uint8_t> buffer(view.begin(), view.end());
    const auto delivery = node_->receive_datagram(from, static_cast<uint8_t>(ecn), buffer, at(now));
    if (!delivery) return delivery.error();
    return to_bytes(delivery->packet);
  }

  std::variant<std::monostate, PyTransmit, core::Drop> send_packet(const py::bytes& packet, double now) {
    const BytesView view = view_of(packet);
    if (view.size() > wire::kMaxUdpPayloadBytes) throw py::value_error("packet: at most 65,507 bytes");
    std::vector<uint8_t> out(node_->sealed_bytes(view.size()));
    const auto transmit = node_->send_packet(view, out, at(now));
    if (!transmit) return transmit.error();
    if (!*transmit) return std::monostate{};
    return transmit_of(**transmit);
  }

  std::optional<PyTransmit> poll_transmit(double now) {
    const auto transmit = node_->poll_transmit(at(now));
    return transmit ? std::optional(transmit_of(*transmit)) : std::nullopt;
  }

  std::optional<PyEvent> poll_event() {
    const auto event = node_->poll_event();
    if (!event) return std::nullopt;
    return to_python(*event);
  }

  std::optional<double> poll_timeout() const {
    const auto due = node_->poll_timeout();
    return due ? std::optional(to_seconds(due->time_since_epoch())) : std::nullopt;
  }
  void handle_timeout(double now) { node_->handle_timeout(at(now)); }

  std::map<std::string, uint64_t> drops() const { return drops_of(*node_); }

  core::PeerStatus status(uint32_t peer, double now) const {
    auto status = node_->status(PeerId{peer}, to_instant(now));
    if (!status) throw py::key_error("no such peer: " + std::to_string(peer));
    return std::move(*status);
  }
  bool under_load(double now) const { return node_->under_load(to_instant(now)); }

  double unix_start() const { return unix_start_; }
  void set_unix_start(double seconds) {
    (void)to_unix_time(seconds);
    unix_start_ = seconds;
  }

 private:
  static void check_keepalive(uint32_t seconds) {
    if (seconds > 65535) throw py::value_error("persistent_keepalive is 0 … 65535 seconds");
  }

  Now at(double seconds) {
    const Instant instant = to_instant(seconds);
    if (instant < last_) throw py::value_error("time must not go backwards (the wall clock may: unix_start)");
    last_ = instant;
    return latest();
  }
  Now latest() const { return {last_, to_unix_time(unix_start_ + to_seconds(last_.time_since_epoch()))}; }

  std::unique_ptr<sim::SeededRandom> random_;  // outlives the node
  std::unique_ptr<core::Node> node_;
  double unix_start_;
  Instant last_{};
};

void bind_results(py::module_& module) {
  py::class_<PyTransmit>(module, "Transmit", "A datagram to be sent now.")
      .def_readonly("to", &PyTransmit::to, "Where to, as address:port.")
      .def_readonly("tos", &PyTransmit::tos, "The outer traffic class, 0x88 for handshakes.")
      .def_readonly("peer", &PyTransmit::peer, "The peer's number; None for a cookie reply.")
      .def_readonly("datagram", &PyTransmit::datagram);
  py::class_<PyEvent>(module, "Event", "Something that happened to a peer.")
      .def_readonly("kind", &PyEvent::kind, "handshake_completed, roamed, …")
      .def_readonly("peer", &PyEvent::peer)
      .def_readonly("when", &PyEvent::when, "Seconds, of the time handed in.")
      .def_readonly("endpoint", &PyEvent::endpoint, "The new endpoint, for roamed.")
      .def_readonly("drop", &PyEvent::drop, "Why, for a failed handshake.")
      .def_readonly("initiator", &PyEvent::initiator, "Our role.")
      .def("__repr__", [](const PyEvent& self) {
        return "<Event " + self.kind + " at " + std::to_string(self.when) + ">";
      });
}

void bind_status(py::module_& module) {
  using core::PeerStatus;
  using core::SessionStatus;
  py::class_<SessionStatus>(module, "SessionStatus", "One session of a peer.")
      .def_readonly("initiator", &SessionStatus::initiator)
      .def_property_readonly("local", [](const SessionStatus& self) { return self.local.value; })
      .def_property_readonly("remote", [](const SessionStatus& self) { return self.remote.value; })
      .def_property_readonly(
          "age", [](const SessionStatus& self) { return to_seconds(self.age); }, "Seconds.")
      .def_readonly("sent_messages", &SessionStatus::sent_messages);
  py::class_<PeerStatus>(module, "PeerStatus", "What is known of a peer, at one moment.")
      .def_property_readonly("public_key",
                             [](const PeerStatus& self) { return to_bytes(self.public_key.bytes); })
      .def_property_readonly("endpoint",
                             [](const PeerStatus& self) {
                               return self.endpoint ? std::optional(endpoint_text(*self.endpoint))
                                                    : std::nullopt;
                             })
      .def_property_readonly(
          "last_handshake",
          [](const PeerStatus& self) {
            return static_cast<double>(self.last_handshake.seconds) + 1e-9 * self.last_handshake.nanoseconds;
          },
          "Unix time; 0 for never.")
      .def_readonly("received_bytes", &PeerStatus::received_bytes)
      .def_readonly("sent_bytes", &PeerStatus::sent_bytes)
      .def_property_readonly("allowed_ips",
                             [](const PeerStatus& self) {
                               std::vector<std::string> texts;
                               for (const IpPrefix& prefix : self.allowed_ips)
                                 texts.push_back(prefix.to_string());
                               return texts;
                             })
      .def_readonly("previous", &PeerStatus::previous)
      .def_readonly("current", &PeerStatus::current)
      .def_readonly("next", &PeerStatus::next)
      .def_readonly("staged_packets", &PeerStatus::staged_packets)
      .def_readonly("roamed_count", &PeerStatus::roamed_count);
}

void bind_configuration(py::class_<PyNode>& node) {
  node.def(py::init<const std::optional<Keypair>&, uint64_t, uint16_t, double, uint32_t>(),
           py::arg("keypair"), py::arg("seed") = 0, py::arg("mtu") = 1420,
           py::arg("unix_start") = 1'700'000'000.0, py::arg("handshakes_per_second") = 1000,
           "`seed` decides everything random; `unix_start` is the wall-clock time at time 0.")
      .def_property_readonly("public_key", &PyNode::public_key, "32 bytes; None without a private key.")
      .def("set_keypair", &PyNode::set_keypair, py::arg("keypair"), py::arg("now"))
      .def("add_peer", &PyNode::add_peer, py::arg("public_key"),
           py::arg("allowed_ips") = std::vector<std::string>{}, py::arg("endpoint") = py::none(),
           py::arg("preshared_key") = py::none(), py::arg("persistent_keepalive") = 0,
           py::arg("suite") = crypto::Suite::kChaCha20Poly1305, py::arg("now") = py::none(),
           "The new peer's number. Without `now`, the latest time told.")
      .def("remove_peer", &PyNode::remove_peer, py::arg("peer"))
      .def("set_preshared_key", &PyNode::set_preshared_key, py::arg("peer"), py::arg("key"))
      .def("set_endpoint", &PyNode::set_endpoint, py::arg("peer"), py::arg("endpoint"), py::arg("now"))
      .def("set_persistent_keepalive", &PyNode::set_persistent_keepalive, py::arg("peer"), py::arg("seconds"),
           py::arg("now"))
      .def("set_rekey_limits", &PyNode::set_rekey_limits, py::arg("peer"), py::arg("after_seconds") = 120,
           py::arg("after_bytes") = 0, py::arg("after_messages") = uint64_t{1} << 60)
      .def("allow", &PyNode::allow, py::arg("peer"), py::arg("prefix"))
      .def("disallow", &PyNode::disallow, py::arg("peer"), py::arg("prefix"))
      .def("go_down", &PyNode::go_down, "The interface is taken down: nothing is sent until come_up().")
      .def("come_up", &PyNode::come_up, py::arg("now"))
      .def_property("unix_start", &PyNode::unix_start, &PyNode::set_unix_start,
                    "The wall-clock time at time 0; setting it steps the clock.");
}

}  // namespace

void bind_node(py::module_& module) {
  bind_results(module);
  bind_status(module);
  py::class_<PyNode> node(
      module, "Node",
      "The whole protocol for one interface. Times (`now`) are seconds since a start of your choosing, and "
      "never go back; endpoints and prefixes are text.");
  bind_configuration(node);
  node.def("receive_datagram", &PyNode::receive_datagram, py::arg("source"), py::arg("datagram"),
           py::arg("now"), py::arg("ecn") = 0,
           "The inner packet (empty for handshakes and keepalives), or why it was dropped.")
      .def("send_packet", &PyNode::send_packet, py::arg("packet"), py::arg("now"),
           "Takes an inner IP packet: a Transmit, None when it waits for a handshake, or why it was dropped.")
      .def("poll_transmit", &PyNode::poll_transmit, py::arg("now"), "The next datagram to send, if any.")
      .def("poll_event", &PyNode::poll_event)
      .def("poll_timeout", &PyNode::poll_timeout, "When handle_timeout() is due next.")
      .def("handle_timeout", &PyNode::handle_timeout, py::arg("now"))
      .def("drops", &PyNode::drops, "Counts by reason; reasons that never occurred are left out.")
      .def("status", &PyNode::status, py::arg("peer"), py::arg("now"))
      .def("under_load", &PyNode::under_load, py::arg("now"));
}

}  // namespace vpn::python
