// Values that everything else uses: Drop, Suite, Keypair; and the conversions of bindings.h.
#include <sodium.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "pybindings/bindings.h"
#include "vpn/core/drop.h"
#include "vpn/crypto/x25519.h"

namespace vpn::python {

void throw_length(std::string_view field, size_t wanted, size_t given) {
  throw py::value_error(std::string(field) + ": " + std::to_string(wanted) + " bytes wanted, " +
                        std::to_string(given) + " given");
}

UdpAddress parse_endpoint(const std::string& text) {
  const auto address = UdpAddress::parse(text);
  if (!address)
    throw py::value_error("'" + text + "' is no endpoint; write 192.0.2.1:51820 or [2001:db8::1]:51820");
  return *address;
}

IpPrefix parse_prefix(const std::string& text) {
  const auto prefix = IpPrefix::parse(text);
  if (!prefix) throw py::value_error("'" + text + "' is no prefix; write 10.0.0.0/8 or fd00::/8");
  return *prefix;
}

IpAddress parse_address(const std::string& text) {
  const auto address = IpAddress::parse(text);
  if (!address) throw py::value_error("'" + text + "' is no address; write 192.0.2.1 or 2001:db8::1");
  return *address;
}

namespace {

constexpr double kMaxSeconds = 1e9;

Duration to_duration(double seconds) {
  if (!(seconds >= 0 && seconds <= kMaxSeconds)) throw py::value_error("a time is 0 … 10^9 seconds");
  return Duration(std::llround(seconds * 1e9));
}

std::string upper_case(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return result;
}

Keypair make_keypair(const std::optional<py::bytes>& private_key) {
  Keypair pair;
  if (private_key) {
    pair.private_key = Secret<32>(fixed_bytes<32>(*private_key, "private_key"));
  } else {
    randombytes_buf(pair.private_key.mutable_view().data(), 32);
  }
  crypto::clamp(pair.private_key.mutable_view());
  pair.public_key = crypto::derive_public_key(pair.private_key.view());
  return pair;
}

void bind_drop(py::module_& module) {
  py::enum_<core::Drop> type(module, "Drop",
                             "Why the engine drops a packet. Each drop is counted once, under one of these.");
  for (size_t i = 0; i < core::kDropCount; ++i) {
    const auto drop = static_cast<core::Drop>(i);
    type.value(upper_case(core::drop_name(drop)).c_str(), drop,
               std::string(core::drop_meaning(drop)).c_str());
  }
}

}  // namespace

Instant to_instant(double seconds) {
  return Instant(to_duration(seconds));
}

double to_seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

UnixTime to_unix_time(double seconds) {
  if (!(seconds >= 0 && seconds <= 1e11)) throw py::value_error("a wall-clock time is 0 … 10^11 seconds");
  const double whole = std::floor(seconds);
  const auto nanoseconds = static_cast<uint32_t>(std::min((seconds - whole) * 1e9, 999'999'999.0));
  return {static_cast<int64_t>(whole), nanoseconds};
}

crypto::AeadSet make_aeads() {
  return {crypto::make_aead(crypto::Backend::kLibsodium, crypto::Suite::kChaCha20Poly1305),
          crypto::make_aead(crypto::Backend::kOpenssl, crypto::Suite::kAes256Gcm)};
}

const crypto::AeadSet& shared_aeads() {
  static const crypto::AeadSet aeads = make_aeads();
  return aeads;
}

void bind_values(py::module_& module) {
  bind_drop(module);
  py::enum_<crypto::Suite>(module, "Suite", "The cipher of a session.")
      .value("CHACHA20_POLY1305", crypto::Suite::kChaCha20Poly1305)
      .value("AES256_GCM", crypto::Suite::kAes256Gcm);
  py::class_<Keypair>(module, "Keypair",
                      "An X25519 key pair: random, or of a given private key (32 bytes, clamped).")
      .def(py::init(&make_keypair), py::arg("private") = py::none())
      .def_property_readonly(
          "private", [](const Keypair& self) { return to_bytes(self.private_key.view()); },
          "32 bytes, clamped")
      .def_property_readonly(
          "public", [](const Keypair& self) { return to_bytes(self.public_key.bytes); }, "32 bytes");
}

}  // namespace vpn::python
