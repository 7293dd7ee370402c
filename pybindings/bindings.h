// What the bind_*.cc files share: their entry points, and the conversions between Python's bytes and ours.
// Every conversion checks the length and raises ValueError with the field's name; nothing Python passes in
// reaches the core unchecked.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vpn/base/bytes.h"
#include "vpn/base/ids.h"
#include "vpn/base/ip_address.h"
#include "vpn/base/secret.h"
#include "vpn/base/time.h"
#include "vpn/crypto/aead.h"

namespace vpn::python {

namespace py = pybind11;

void bind_values(py::module_& module);
void bind_wire(py::module_& module);
void bind_noise(py::module_& module);
void bind_session(py::module_& module);
void bind_node(py::module_& module);
void bind_sim(py::module_& module);

// A view of the object's content, valid while the object lives.
[[nodiscard]] inline BytesView view_of(const py::bytes& bytes) {
  const std::string_view text = bytes;
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

[[nodiscard]] inline py::bytes to_bytes(BytesView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[noreturn]] void throw_length(std::string_view field, size_t wanted, size_t given);

template <size_t N>
[[nodiscard]] std::array<uint8_t, N> fixed_bytes(const py::bytes& bytes, std::string_view field) {
  const BytesView view = view_of(bytes);
  if (view.size() != N) throw_length(field, N, view.size());
  std::array<uint8_t, N> result;
  copy_bytes(view, result);
  return result;
}

// A bytes property of fixed length: reading copies out, writing anything of another length raises ValueError.
template <typename Class, size_t N>
void def_fixed_bytes(py::class_<Class>& type, const char* name, std::array<uint8_t, N> Class::*member,
                     const char* doc) {
  type.def_property(
      name, [member](const Class& self) { return to_bytes(self.*member); },
      [member, name](Class& self, const py::bytes& value) { self.*member = fixed_bytes<N>(value, name); },
      doc);
}

// Texts as users write them; ValueError with the text and an example otherwise.
[[nodiscard]] UdpAddress parse_endpoint(const std::string& text);
[[nodiscard]] IpPrefix parse_prefix(const std::string& text);
[[nodiscard]] IpAddress parse_address(const std::string& text);

// Seconds as Python has them. Refuses what is no time: NaN, negative, or beyond 10^9 s.
[[nodiscard]] Instant to_instant(double seconds);
[[nodiscard]] double to_seconds(Duration duration);
[[nodiscard]] UnixTime to_unix_time(double seconds);

// A private key with its public key.
struct Keypair {
  Secret<32> private_key;
  PublicKey public_key;
};

// Ciphers of fixed backends: cheap to make, and the same on every machine.
[[nodiscard]] crypto::AeadSet make_aeads();
// The module's own, for calls that hold the GIL.
[[nodiscard]] const crypto::AeadSet& shared_aeads();

}  // namespace vpn::python
