// The handshake, Noise_IKpsk2 (Noise specification revision 34; WireGuard whitepaper section 5.4), both
// roles.
//
//   initiator                                   responder
//   create_initiation()  ── initiation ──▶  open_initiation() → find the peer → authenticate_initiation()
//   consume_response()   ◀── response ────  create_response()
//
// Each state holds only what is valid in it. Every function works on copies and changes nothing of its
// arguments unless it succeeds; its results are wiped when they go. Messages are written without their MACs:
// see cookie.h.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "vpn/base/ids.h"
#include "vpn/base/result.h"
#include "vpn/base/secret.h"
#include "vpn/base/time.h"
#include "vpn/crypto/aead.h"
#include "vpn/crypto/blake2s.h"
#include "vpn/noise/identity.h"
#include "vpn/wire/messages.h"

namespace vpn::noise {

enum class HandshakeError : uint8_t {
  kLowOrderKey,  // a Diffie-Hellman result was all zeros
  kAuth,         // an AEAD did not verify
};

// TAI64N: BE64(2^62 + 10 + Unix seconds) ‖ BE32(nanoseconds). Compared as opaque bytes, greater is later.
using Timestamp = std::array<uint8_t, wire::kTimestampBytes>;

// The stamp of a wall-clock time, nanoseconds rounded down to a multiple of 2^24 so that it tells little of
// our clock.
[[nodiscard]] Timestamp make_timestamp(UnixTime time) noexcept;
// The next greater rounded stamp, for a clock that did not advance.
[[nodiscard]] Timestamp next_timestamp(const Timestamp& timestamp) noexcept;

// The Noise construction name of a suite: "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s" is WireGuard's own;
// "Noise_IKpsk2_25519_AESGCM_BLAKE2s" is ours.
[[nodiscard]] std::string_view construction_name(crypto::Suite suite) noexcept;

// What both roles carry through the handshake: the chaining key and the transcript hash.
struct SymmetricState {
  crypto::ChainSecret chain;
  crypto::Hash hash{};
};

// After create_initiation(): waits for the response.
struct InitiatorState {
  SessionIndex local;
  crypto::Suite suite{};
  SymmetricState symmetric;
  Secret<32> ephemeral;
};

// After open_initiation(): the initiator's claimed static key is known, nothing is proven yet.
struct OpenedInitiation {
  SessionIndex remote;
  crypto::Suite suite{};
  SymmetricState symmetric;
  PublicKey remote_static;
  PublicKey remote_ephemeral;
};

// After authenticate_initiation(): the initiator holds that key; `timestamp` must still be checked against
// replay.
struct ResponderState {
  SessionIndex remote;
  crypto::Suite suite{};
  SymmetricState symmetric;
  PublicKey remote_static;
  PublicKey remote_ephemeral;
  Timestamp timestamp{};
};

// The keys of the session. Send is ours: the initiator's send key is the responder's receive key.
struct TransportKeys {
  crypto::AeadSecret send;
  crypto::AeadSecret receive;
};

// `ephemeral` is a fresh random private key (clamped here), used for this initiation alone.
[[nodiscard]] Result<InitiatorState, HandshakeError> create_initiation(
    const crypto::AeadSet& aeads, crypto::Suite suite, const LocalIdentity& local,
    const RemoteIdentity& remote, Secret<32> ephemeral, SessionIndex local_index, const Timestamp& timestamp,
    std::span<uint8_t, wire::kInitiationBytes> out) noexcept;

// Decrypts the initiator's static key. The initiator's suite is found by trying both: they share the costly
// part.
[[nodiscard]] Result<OpenedInitiation, HandshakeError> open_initiation(
    const crypto::AeadSet& aeads, const LocalIdentity& local, const wire::Initiation& message) noexcept;

// Proves that the initiator holds the static key of `remote`, whose public key is `opened.remote_static`.
[[nodiscard]] Result<ResponderState, HandshakeError> authenticate_initiation(
    const crypto::AeadSet& aeads, const OpenedInitiation& opened, const RemoteIdentity& remote,
    const wire::Initiation& message) noexcept;

// `ephemeral` as above. The responder may not send with the keys until the first data message authenticated.
[[nodiscard]] Result<TransportKeys, HandshakeError> create_response(
    const crypto::AeadSet& aeads, const ResponderState& state, const RemoteIdentity& remote,
    Secret<32> ephemeral, SessionIndex local_index, std::span<uint8_t, wire::kResponseBytes> out) noexcept;

// Finishes what `state` began, with the responder's message (whitepaper 5.4.3): proves that it holds the
// static key of `remote` and the same preshared key. On an error the state serves for another response; after
// a success it must be forgotten.
[[nodiscard]] Result<TransportKeys, HandshakeError> consume_response(const crypto::AeadSet& aeads,
                                                                     const InitiatorState& state,
                                                                     const LocalIdentity& local,
                                                                     const RemoteIdentity& remote,
                                                                     const wire::Response& message) noexcept;

}  // namespace vpn::noise
