// Session, ReplayWindow and PrefixTable by themselves.
#include "pybindings/session.h"

#include <variant>

#include "pybindings/bindings.h"
#include "vpn/core/constants.h"
#include "vpn/core/drop.h"
#include "vpn/core/prefix_table.h"
#include "vpn/wire/messages.h"

namespace vpn::python {

Session::Session(const noise::TransportKeys& keys, crypto::Suite suite, uint32_t local_index,
                 uint32_t remote_index, bool initiator)
    : session_(
          PeerId{}, initiator, SessionIndex{local_index}, SessionIndex{remote_index}, suite,
          {shared_aeads().of(suite).make_key(keys.send), shared_aeads().of(suite).make_key(keys.receive)},
          Instant{}) {}

py::bytes Session::seal(const py::bytes& plain, std::optional<uint64_t> counter) {
  const BytesView content = view_of(plain);
  if (content.size() > wire::kMaxUdpPayloadBytes - wire::kDataOverheadBytes) {
    throw py::value_error("plain: at most 65,475 bytes fit a datagram, " + std::to_string(content.size()) +
                          " given");
  }
  std::vector<uint8_t> datagram(content.size() + wire::kDataOverheadBytes);
  const Counter used = counter ? *counter : next_counter_++;
  session_.seal(shared_aeads().of(session_.suite()), used, content, datagram);
  return to_bytes(datagram);
}

std::variant<py::bytes, core::Drop> Session::open(const py::bytes& datagram) {
  const auto message = wire::parse(view_of(datagram));
  if (!message) {
    return message.error() == wire::ParseError::kBadLength ? core::Drop::kBadLength
                                                           : core::Drop::kUnknownType;
  }
  const auto* data = std::get_if<wire::Data>(&*message);
  if (data == nullptr) return core::Drop::kUnknownType;
  if (data->receiver != session_.local_index()) return core::Drop::kUnknownIndex;
  if (data->counter >= core::kRejectAfterMessages) return core::Drop::kCounterLimit;
  const BytesView view = view_of(datagram);
  std::vector<uint8_t> copy(view.begin(), view.end());
  const auto plain = session_.open(shared_aeads().of(session_.suite()), data->counter, copy);
  if (!plain) return core::Drop::kDataAuth;
  if (!window_.accept(data->counter)) return core::Drop::kReplayed;
  return to_bytes(*plain);
}

namespace {

crypto::AeadSecret secret_of(const py::bytes& bytes, std::string_view field) {
  return crypto::AeadSecret(fixed_bytes<32>(bytes, field));
}

std::unique_ptr<Session> make_session(const py::bytes& send_key, const py::bytes& receive_key,
                                      uint32_t local_index, uint32_t remote_index, crypto::Suite suite) {
  const noise::TransportKeys keys{secret_of(send_key, "send_key"), secret_of(receive_key, "receive_key")};
  return std::make_unique<Session>(keys, suite, local_index, remote_index, true);
}

void bind_replay_window(py::module_& module) {
  py::class_<core::ReplayWindow>(module, "ReplayWindow", "Accepts every counter at most once (RFC 6479).")
      .def(py::init<>())
      .def("accept", &core::ReplayWindow::accept, py::arg("counter"),
           "Marks the counter. False when it was seen, lies behind the window, or is past the limit of a "
           "session.")
      .def("would_accept", &core::ReplayWindow::would_accept, py::arg("counter"),
           "What accept() would say; changes nothing.")
      .def_readonly_static("BITS", &core::ReplayWindow::kBits, "Bits of the ring.")
      .def_readonly_static("USABLE_BITS", &core::ReplayWindow::kUsableBits,
                           "How far behind the greatest a counter may come and still be accepted.");
}

void bind_prefix_table(py::module_& module) {
  using core::PrefixTable;
  py::class_<PrefixTable>(module, "PrefixTable",
                          "Which owner (a number) an address belongs to: the longest prefix wins.")
      .def(py::init<>())
      .def(
          "insert",
          [](PrefixTable& self, const std::string& prefix, uint32_t owner) -> std::optional<uint32_t> {
            const auto before = self.insert(parse_prefix(prefix), PeerId{owner});
            return before ? std::optional(before->value) : std::nullopt;
          },
          py::arg("prefix"), py::arg("owner"),
          "Gives the prefix to the owner; the owner it had before, if another.")
      .def(
          "remove",
          [](PrefixTable& self, const std::string& prefix, uint32_t owner) {
            return self.remove(parse_prefix(prefix), PeerId{owner});
          },
          py::arg("prefix"), py::arg("owner"),
          "Takes exactly this prefix from the owner; False when it was not theirs.")
      .def(
          "find",
          [](const PrefixTable& self, const std::string& address) -> std::optional<uint32_t> {
            const auto owner = self.find(parse_address(address));
            return owner ? std::optional(owner->value) : std::nullopt;
          },
          py::arg("address"), "The owner of the longest prefix that covers the address.")
      .def("__len__", &PrefixTable::size);
}

}  // namespace

void bind_session(py::module_& module) {
  py::class_<Session>(module, "Session", "The keys of one handshake, the send counter and the replay window.")
      .def(py::init(&make_session), py::arg("send_key"), py::arg("receive_key"), py::arg("local_index"),
           py::arg("remote_index"), py::arg("suite") = crypto::Suite::kChaCha20Poly1305)
      .def("seal", &Session::seal, py::arg("plain"), py::arg("counter") = py::none(),
           "A data message with this content, exactly as given: no padding is added. Without `counter` the "
           "next is used.")
      .def("open", &Session::open, py::arg("datagram"),
           "The content of a data message, padding included, or the Drop that a peer would count.")
      .def_property("counter", &Session::counter, &Session::set_counter,
                    "The counter of the next message to seal.")
      .def_property_readonly("local_index", &Session::local_index, "The index that we receive on.")
      .def_property_readonly("remote_index", &Session::remote_index,
                             "The index that the other end receives on.")
      .def_property_readonly("is_initiator", &Session::is_initiator);
  bind_replay_window(module);
  bind_prefix_table(module);
}

}  // namespace vpn::python
