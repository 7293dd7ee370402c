// The four messages as objects whose every field can be read and forged, and parse().
#include <variant>

#include "pybindings/bindings.h"
#include "pybindings/messages.h"
#include "vpn/core/drop.h"

namespace vpn::python {

void Data::set_sealed(BytesView bytes) {
  if (bytes.size() < wire::kTagBytes || bytes.size() > wire::kMaxUdpPayloadBytes - wire::kDataHeaderBytes) {
    throw py::value_error("sealed: 16 … 65,491 bytes wanted, " + std::to_string(bytes.size()) + " given");
  }
  sealed.assign(bytes.begin(), bytes.end());
}

namespace {

using PyMessage = std::variant<Initiation, Response, CookieReply, Data, core::Drop>;

PyMessage parse(const py::bytes& datagram) {
  const auto message = wire::parse(view_of(datagram));
  if (!message) {
    return message.error() == wire::ParseError::kUnknownType ? core::Drop::kUnknownType
                                                             : core::Drop::kBadLength;
  }
  return std::visit(
      [](const auto& view) -> PyMessage {
        using View = std::decay_t<decltype(view)>;
        if constexpr (std::is_same_v<View, wire::Initiation>) return Initiation(view);
        if constexpr (std::is_same_v<View, wire::Response>) return Response(view);
        if constexpr (std::is_same_v<View, wire::CookieReply>) return CookieReply(view);
        if constexpr (std::is_same_v<View, wire::Data>) return Data(view);
      },
      *message);
}

template <typename Message>
py::class_<Message> bind_message(py::module_& module, const char* name, const char* doc) {
  return py::class_<Message>(module, name, doc)
      .def(py::init<>(), "Every field zero.")
      .def(
          "encode", [](const Message& self) { return to_bytes(self.encode()); }, "The datagram.");
}

void bind_handshake_messages(py::module_& module) {
  auto initiation = bind_message<Initiation>(module, "Initiation", "Type 1, 148 bytes.");
  initiation.def_readwrite("sender", &Initiation::sender, "The sender's index, 32 bits.");
  def_fixed_bytes(initiation, "ephemeral", &Initiation::ephemeral,
                  "The unencrypted ephemeral key, 32 bytes.");
  def_fixed_bytes(initiation, "sealed_static", &Initiation::sealed_static,
                  "The sealed static key, 32 + 16 bytes.");
  def_fixed_bytes(initiation, "sealed_timestamp", &Initiation::sealed_timestamp,
                  "The sealed TAI64N, 12 + 16 bytes.");
  def_fixed_bytes(initiation, "mac1", &Initiation::mac1, "16 bytes, over all before it.");
  def_fixed_bytes(initiation, "mac2", &Initiation::mac2,
                  "16 bytes, over all before it; zeros without a cookie.");

  auto response = bind_message<Response>(module, "Response", "Type 2, 92 bytes.");
  response.def_readwrite("sender", &Response::sender, "The sender's index, 32 bits.");
  response.def_readwrite("receiver", &Response::receiver, "The index of the initiation that it answers.");
  def_fixed_bytes(response, "ephemeral", &Response::ephemeral, "The unencrypted ephemeral key, 32 bytes.");
  def_fixed_bytes(response, "sealed_empty", &Response::sealed_empty, "The sealed empty string, 16 bytes.");
  def_fixed_bytes(response, "mac1", &Response::mac1, "16 bytes, over all before it.");
  def_fixed_bytes(response, "mac2", &Response::mac2, "16 bytes, over all before it; zeros without a cookie.");
}

}  // namespace

void bind_wire(py::module_& module) {
  bind_handshake_messages(module);

  auto cookie = bind_message<CookieReply>(module, "CookieReply", "Type 3, 64 bytes.");
  cookie.def_readwrite("receiver", &CookieReply::receiver, "The index of the message that it answers.");
  def_fixed_bytes(cookie, "nonce", &CookieReply::nonce, "24 bytes.");
  def_fixed_bytes(cookie, "sealed_cookie", &CookieReply::sealed_cookie, "The sealed cookie, 16 + 16 bytes.");

  auto data = bind_message<Data>(module, "Data", "Type 4, 32 bytes or more.");
  data.def_readwrite("receiver", &Data::receiver, "The receiver's index, 32 bits.");
  data.def_readwrite("counter", &Data::counter, "The nonce counter, 64 bits.");
  data.def_property(
      "sealed", [](const Data& self) { return to_bytes(self.sealed); },
      [](Data& self, const py::bytes& value) { self.set_sealed(view_of(value)); },
      "Ciphertext and tag, at least 16 bytes.");

  module.def("parse", &parse, py::arg("datagram"),
             "Takes a datagram apart: one of the four messages, or Drop.UNKNOWN_TYPE or Drop.BAD_LENGTH.");
}

}  // namespace vpn::python
