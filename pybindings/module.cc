// The extension module vpnlab._core.
#include "pybindings/bindings.h"

PYBIND11_MODULE(_core, module) {
  module.doc() =
      "The protocol engine of the VPN, for scripting handshakes, forgeries and replays. Nothing in it opens "
      "a socket or reads "
      "a clock: bytes and times go in, bytes and verdicts come out. A datagram that the engine would drop "
      "gives a Drop back "
      "as a value; an argument that makes no sense raises ValueError or TypeError.";
  vpn::python::bind_values(module);
  vpn::python::bind_wire(module);
  vpn::python::bind_session(module);
  vpn::python::bind_noise(module);
  vpn::python::bind_node(module);
  vpn::python::bind_sim(module);
}
