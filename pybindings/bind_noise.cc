// The handshake step by step: Initiator and Responder, mac1 and mac2, cookies.
#include <sodium.h>

#include <variant>

#include "pybindings/bindings.h"
#include "pybindings/messages.h"
#include "pybindings/session.h"
#include "vpn/core/drop.h"
#include "vpn/noise/cookie.h"
#include "vpn/noise/handshake.h"

namespace vpn::python {
namespace {

core::Drop drop_of(noise::HandshakeError error) {
  return error == noise::HandshakeError::kLowOrderKey ? core::Drop::kLowOrderKey : core::Drop::kHandshakeAuth;
}

uint32_t random_index() {
  return randombytes_random();
}

Secret<32> random_secret() {
  Secret<32> secret;
  randombytes_buf(secret.mutable_view().data(), 32);
  return secret;
}

Secret<32> optional_secret(const std::optional<py::bytes>& bytes, std::string_view field) {
  return bytes ? Secret<32>(fixed_bytes<32>(*bytes, field)) : Secret<32>();
}

noise::RemoteIdentity make_remote(const noise::LocalIdentity& local, const py::bytes& public_key,
                                  const std::optional<py::bytes>& preshared_key) {
  noise::RemoteIdentity remote(PublicKey{fixed_bytes<32>(public_key, "remote")});
  remote.set_preshared_key(optional_secret(preshared_key, "preshared_key"));
  remote.pair_with(&local);
  return remote;
}

std::optional<noise::Cookie> cookie_of(const std::optional<py::bytes>& bytes) {
  if (!bytes) return std::nullopt;
  return noise::Cookie(fixed_bytes<16>(*bytes, "cookie"));
}

// The initiator of one handshake.
class Initiator {
 public:
  Initiator(const Keypair& local, const py::bytes& remote, const std::optional<py::bytes>& preshared_key,
            crypto::Suite suite)
      : local_(local.private_key), remote_(make_remote(local_, remote, preshared_key)), suite_(suite) {}

  std::variant<Initiation, core::Drop> initiate(double unix_seconds, std::optional<uint32_t> index,
                                                const std::optional<py::bytes>& cookie) {
    std::array<uint8_t, wire::kInitiationBytes> message{};
    auto state = noise::create_initiation(shared_aeads(), suite_, local_, remote_, random_secret(),
                                          SessionIndex{index.value_or(random_index())},
                                          noise::make_timestamp(to_unix_time(unix_seconds)), message);
    if (!state) return drop_of(state.error());
    const auto used_cookie = cookie_of(cookie);
    noise::write_macs(message, remote_.mac1_key(), used_cookie ? &*used_cookie : nullptr);
    state_ = std::move(*state);
    return Initiation(std::get<wire::Initiation>(*wire::parse(message)));
  }

  std::variant<std::unique_ptr<Session>, core::Drop> consume(const Response& response) {
    if (!state_) throw py::value_error("consume() needs an initiate() before it");
    const auto keys = noise::consume_response(shared_aeads(), *state_, local_, remote_, response.view());
    if (!keys) return drop_of(keys.error());
    return std::make_unique<Session>(*keys, suite_, state_->local.value, response.sender, true);
  }

  // The cookie in a reply to our initiation with this mac1.
  std::optional<py::bytes> open_cookie(const CookieReply& reply, const py::bytes& mac1) const {
    const auto cookie =
        noise::open_cookie_reply(remote_.cookie_key(), fixed_bytes<16>(mac1, "mac1"), reply.view());
    return cookie ? std::optional(to_bytes(cookie->view())) : std::nullopt;
  }

 private:
  noise::LocalIdentity local_;
  noise::RemoteIdentity remote_;
  crypto::Suite suite_;
  std::optional<noise::InitiatorState> state_;
};

// What a responder has learnt from an initiation: the claimed static key; nothing is proven yet.
struct Opened {
  noise::OpenedInitiation opened;
  Initiation message;
};

// A responder: answers any number of initiations.
class Responder {
 public:
  explicit Responder(const Keypair& local) : local_(local.private_key) {}

  std::variant<Opened, core::Drop> open(const Initiation& initiation) const {
    if (!noise::verify_mac1(initiation.encode(), local_.mac1_key())) return core::Drop::kBadMac1;
    auto opened = noise::open_initiation(shared_aeads(), local_, initiation.view());
    if (!opened) return drop_of(opened.error());
    return Opened{std::move(*opened), initiation};
  }

  std::variant<std::pair<Response, std::unique_ptr<Session>>, core::Drop> respond(
      const Opened& opened, const std::optional<py::bytes>& preshared_key,
      std::optional<uint32_t> index) const {
    const auto remote = make_remote(local_, to_bytes(opened.opened.remote_static.bytes), preshared_key);
    const auto state =
        noise::authenticate_initiation(shared_aeads(), opened.opened, remote, opened.message.view());
    if (!state) return drop_of(state.error());
    const SessionIndex local_index{index.value_or(random_index())};
    std::array<uint8_t, wire::kResponseBytes> message{};
    const auto keys =
        noise::create_response(shared_aeads(), *state, remote, random_secret(), local_index, message);
    if (!keys) return drop_of(keys.error());
    noise::write_macs(message, remote.mac1_key(), nullptr);
    return std::pair(
        Response(std::get<wire::Response>(*wire::parse(message))),
        std::make_unique<Session>(*keys, state->suite, local_index.value, state->remote.value, false));
  }

 private:
  noise::LocalIdentity local_;
};

// The gate of a responder: what it checks before it pays for a Diffie-Hellman computation.
class CookieChecker {
 public:
  CookieChecker(const py::bytes& public_key, const std::optional<py::bytes>& secret)
      : public_key_{fixed_bytes<32>(public_key, "public_key")},
        secret_(secret ? Secret<32>(fixed_bytes<32>(*secret, "secret")) : random_secret()) {}

  template <typename Message>
  bool check_mac1(const Message& message) const {
    return noise::verify_mac1(message.encode(), noise::mac1_key(public_key_));
  }
  template <typename Message>
  bool check_mac2(const Message& message, const std::string& source) const {
    return noise::verify_mac2(message.encode(), noise::make_cookie(secret_, parse_endpoint(source)));
  }
  py::bytes cookie(const std::string& source) const {
    return to_bytes(noise::make_cookie(secret_, parse_endpoint(source)).view());
  }
  template <typename Message>
  CookieReply reply(const Message& message, const std::string& source) const {
    std::array<uint8_t, crypto::kXNonceBytes> nonce{};
    randombytes_buf(nonce.data(), nonce.size());
    std::array<uint8_t, wire::kCookieReplyBytes> out{};
    noise::create_cookie_reply(noise::cookie_key(public_key_),
                               noise::make_cookie(secret_, parse_endpoint(source)), nonce,
                               SessionIndex{message.sender}, message.mac1, out);
    return CookieReply(std::get<wire::CookieReply>(*wire::parse(out)));
  }

 private:
  PublicKey public_key_;
  Secret<32> secret_;
};

template <typename Message>
void def_checks(py::class_<CookieChecker>& checker) {
  checker
      .def("check_mac1", &CookieChecker::check_mac1<Message>, py::arg("message"),
           "Whether it was made for this public key.")
      .def("check_mac2", &CookieChecker::check_mac2<Message>, py::arg("message"), py::arg("source"),
           "Whether it carries the cookie of this source, address:port.")
      .def("reply", &CookieChecker::reply<Message>, py::arg("message"), py::arg("source"),
           "The cookie reply that a loaded responder sends, under a fresh random nonce.");
}

// Recomputes the MACs of an edited message, for its receiver.
template <typename Message>
Message with_macs(const Message& message, const py::bytes& receiver, const std::optional<py::bytes>& cookie) {
  auto bytes = message.encode();
  const auto used_cookie = cookie_of(cookie);
  noise::write_macs(bytes, noise::mac1_key(PublicKey{fixed_bytes<32>(receiver, "receiver")}),
                    used_cookie ? &*used_cookie : nullptr);
  Message result = message;
  copy_bytes(BytesView(bytes).last(32).first(16), result.mac1);
  copy_bytes(BytesView(bytes).last(16), result.mac2);
  return result;
}

}  // namespace

void bind_noise(py::module_& module) {
  py::class_<Initiator>(module, "Initiator",
                        "The initiator of a handshake with the owner of the public key `remote`.")
      .def(py::init<const Keypair&, const py::bytes&, const std::optional<py::bytes>&, crypto::Suite>(),
           py::arg("local"), py::arg("remote"), py::arg("preshared_key") = py::none(),
           py::arg("suite") = crypto::Suite::kChaCha20Poly1305)
      .def("initiate", &Initiator::initiate, py::arg("unix_seconds"), py::arg("index") = py::none(),
           py::arg("cookie") = py::none(),
           "A fresh initiation stamped with this time, MACs filled in; Drop.LOW_ORDER_KEY for a bad remote "
           "key.")
      .def("consume", &Initiator::consume, py::arg("response"),
           "The session, or why the response does not verify.")
      .def("open_cookie", &Initiator::open_cookie, py::arg("reply"), py::arg("mac1"),
           "The cookie in a reply to a message of ours with this mac1; None when it does not verify.");
  py::class_<Opened>(module, "Opened", "An initiation whose static key is decrypted, and not yet proven.")
      .def_property_readonly(
          "remote", [](const Opened& self) { return to_bytes(self.opened.remote_static.bytes); },
          "The claimed static public key, 32 bytes.");
  py::class_<Responder>(module, "Responder", "The responder: open() an initiation, then respond() to it.")
      .def(py::init<const Keypair&>(), py::arg("local"))
      .def("open", &Responder::open, py::arg("initiation"),
           "Checks mac1 and decrypts the initiator's static key.")
      .def("respond", &Responder::respond, py::arg("opened"), py::arg("preshared_key") = py::none(),
           py::arg("index") = py::none(),
           "Proves the initiator's key; the response and the session, or a Drop.");
  py::class_<CookieChecker> checker(
      module, "CookieChecker",
      "The gate of a responder: mac1, mac2 and cookies, made and checked. `secret` "
      "(32 bytes) is random unless given.");
  checker
      .def(py::init<const py::bytes&, const std::optional<py::bytes>&>(), py::arg("public_key"),
           py::arg("secret") = py::none())
      .def("cookie", &CookieChecker::cookie, py::arg("source"), "The cookie of a source, 16 bytes.");
  def_checks<Initiation>(checker);
  def_checks<Response>(checker);
  module.def("with_macs", &with_macs<Initiation>, py::arg("message"), py::arg("receiver"),
             py::arg("cookie") = py::none(),
             "The message with mac1 (and mac2, given a cookie) as its receiver's public key asks for.");
  module.def("with_macs", &with_macs<Response>, py::arg("message"), py::arg("receiver"),
             py::arg("cookie") = py::none());
}

}  // namespace vpn::python
