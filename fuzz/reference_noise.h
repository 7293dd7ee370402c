// The handshake once more, written straight down from the whitepaper (section 5.4) for whoever knows all
// keys: it opens and seals every message from either end's secrets, also those that no honest peer would
// send. The fuzzers predict with it what a Node must answer, and their mutators get edited plaintext behind
// the MACs and the AEAD with it.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "vpn/base/bytes.h"
#include "vpn/base/ip_address.h"
#include "vpn/crypto/aead.h"

namespace vpn::fuzz {

using Bytes32 = std::array<uint8_t, 32>;
using Bytes16 = std::array<uint8_t, 16>;
using Bytes12 = std::array<uint8_t, 12>;

// DH as the specification has it: zeros where the point is of small order.
[[nodiscard]] Bytes32 dh(const Bytes32& private_key, const Bytes32& public_key);
[[nodiscard]] Bytes32 public_of(const Bytes32& private_key);
[[nodiscard]] Bytes32 clamped(Bytes32 private_key);
[[nodiscard]] bool is_zero(BytesView bytes);
// One backend each, made once; for the reference's own use.
[[nodiscard]] crypto::Aead& reference_aead(crypto::Suite suite);
// A set for a Node, without the self-tests of select_aeads(), which cost a millisecond.
[[nodiscard]] crypto::AeadSet fresh_aeads();

struct Transcript {
  Bytes32 chain{};
  Bytes32 hash{};
};

// An initiation's plaintext, and what both ends carry on from it.
struct PlainInitiation {
  crypto::Suite suite = crypto::Suite::kChaCha20Poly1305;
  uint32_t sender = 0;
  Bytes32 ephemeral{};
  Bytes32 static_key{};
  bool timestamp_opened = false;
  Bytes12 timestamp{};
  Transcript after{};
};
// With the responder's private key alone. Empty when the static key does not open.
[[nodiscard]] std::optional<PlainInitiation> open_initiation(const Bytes32& responder_private,
                                                             BytesView message);
// Seals all but the MACs, and sets `after`; the sender's private keys are not needed for that.
[[nodiscard]] std::vector<uint8_t> seal_initiation(const Bytes32& responder_private, PlainInitiation& plain);

struct PlainResponse {
  uint32_t sender = 0;
  uint32_t receiver = 0;
  Bytes32 ephemeral{};
};
struct TransportKeys {
  Bytes32 initiator_sends{};
  Bytes32 responder_sends{};
};
struct SealedResponse {
  std::vector<uint8_t> message;  // without MACs
  TransportKeys keys;
};
// The same from the responder's secrets (its ephemeral private key) …
[[nodiscard]] SealedResponse seal_response_as_responder(const PlainInitiation& initiation,
                                                        PlainResponse plain, const Bytes32& ephemeral_private,
                                                        const Bytes32& psk);
// … and from the initiator's, for any ephemeral key of the responder.
[[nodiscard]] SealedResponse seal_response_as_initiator(const PlainInitiation& initiation,
                                                        const PlainResponse& plain,
                                                        const Bytes32& initiator_ephemeral,
                                                        const Bytes32& initiator_private, const Bytes32& psk);

[[nodiscard]] Bytes16 mac1_of(const Bytes32& receiver_public, BytesView message);
[[nodiscard]] Bytes16 mac2_of(const Bytes16& cookie, BytesView message);
// Writes both at the end of a whole message; no cookie: mac2 is zeros.
void write_macs(std::vector<uint8_t>& message, const Bytes32& receiver_public,
                const std::optional<Bytes16>& cookie);

[[nodiscard]] Bytes16 cookie_of(const Bytes32& secret, const UdpAddress& source);
[[nodiscard]] std::vector<uint8_t> seal_cookie_reply(const Bytes32& sender_public, uint32_t receiver,
                                                     const std::array<uint8_t, 24>& nonce, BytesView mac1,
                                                     const Bytes16& cookie);
[[nodiscard]] std::optional<Bytes16> open_cookie_reply(const Bytes32& sender_public, BytesView mac1,
                                                       BytesView message);

// A data message with its plaintext sealed as it is.
[[nodiscard]] std::vector<uint8_t> seal_data(crypto::Suite suite, const Bytes32& key, uint32_t receiver,
                                             uint64_t counter, BytesView plain);
[[nodiscard]] std::optional<std::vector<uint8_t>> open_data(crypto::Suite suite, const Bytes32& key,
                                                            BytesView message);

}  // namespace vpn::fuzz
