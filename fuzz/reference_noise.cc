#include "fuzz/reference_noise.h"

#include <string_view>

#include "fuzz/memo.h"
#include "vpn/base/check.h"
#include "vpn/base/endian.h"
#include "vpn/crypto/blake2s.h"
#include "vpn/crypto/initialize.h"
#include "vpn/crypto/x25519.h"

namespace vpn::fuzz {
namespace {

BytesView text(std::string_view view) {
  return {reinterpret_cast<const uint8_t*>(view.data()), view.size()};
}

Bytes32 plain_of(const Secret<32>& secret) {
  Bytes32 bytes;
  copy_bytes(secret.view(), bytes);
  return bytes;
}

Bytes32 hmac(const Bytes32& key, std::initializer_list<BytesView> parts) {
  return plain_of(crypto::hmac_blake2s(key, parts));
}

// HKDF of the whitepaper: τ0 = HMAC(key, input), τi = HMAC(τ0, τi−1 ‖ i).
std::array<Bytes32, 3> compute_kdf(const Bytes32& chain, BytesView input) {
  const Bytes32 extracted = hmac(chain, {input});
  const std::array<uint8_t, 3> count{1, 2, 3};
  const BytesView counts(count);
  std::array<Bytes32, 3> out;
  out[0] = hmac(extracted, {counts.subspan(0, 1)});
  out[1] = hmac(extracted, {out[0], counts.subspan(1, 1)});
  out[2] = hmac(extracted, {out[1], counts.subspan(2, 1)});
  return out;
}

std::array<Bytes32, 3> kdf(const Bytes32& chain, BytesView input) {
  static Memo<std::array<Bytes32, 3>> memo;
  VPN_CHECK(input.size() <= 32);
  Question question{};
  copy_bytes(chain, question);
  copy_bytes(input, MutableBytes(question).subspan(32));
  store_le(&question[64], uint64_t{input.size()});
  return memo.remembered(question, [&] { return compute_kdf(chain, input); });
}

Transcript begin(crypto::Suite suite, const Bytes32& responder_public) {
  const Bytes32 chain =
      crypto::blake2s({text(suite == crypto::Suite::kAes256Gcm ? "Noise_IKpsk2_25519_AESGCM_BLAKE2s"
                                                               : "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")});
  const Bytes32 hash = crypto::blake2s({chain, text("WireGuard v1 zx2c4 Jason@zx2c4.com")});
  return {chain, crypto::blake2s({hash, responder_public})};
}

void mix_hash(Transcript& transcript, BytesView data) {
  transcript.hash = crypto::blake2s({transcript.hash, data});
}
void mix_public(Transcript& transcript, const Bytes32& ephemeral) {
  mix_hash(transcript, ephemeral);
  transcript.chain = kdf(transcript.chain, ephemeral)[0];
}
Bytes32 mix_shared(Transcript& transcript, const Bytes32& shared) {
  const auto derived = kdf(transcript.chain, shared);
  transcript.chain = derived[0];
  return derived[1];
}

std::vector<uint8_t> seal(crypto::Suite suite, const Bytes32& key, uint64_t counter, BytesView associated,
                          BytesView plain) {
  crypto::Aead& aead = reference_aead(suite);
  std::vector<uint8_t> sealed(plain.size() + 16);
  aead.seal(*aead.make_key(crypto::AeadSecret(key)), counter, associated, plain, sealed);
  return sealed;
}

std::optional<std::vector<uint8_t>> open(crypto::Suite suite, const Bytes32& key, uint64_t counter,
                                         BytesView associated, BytesView sealed) {
  if (sealed.size() < 16) return std::nullopt;
  crypto::Aead& aead = reference_aead(suite);
  std::vector<uint8_t> plain(sealed.size() - 16);
  if (!aead.open(*aead.make_key(crypto::AeadSecret(key)), counter, associated, sealed, plain))
    return std::nullopt;
  return plain;
}

void put(std::vector<uint8_t>& message, size_t at, BytesView bytes) {
  copy_bytes(bytes, MutableBytes(message).subspan(at));
}

// For labels of 8 letters.
Bytes32 labelled(std::string_view label, const Bytes32& key) {
  static Memo<Bytes32> memo;
  Question question{};
  copy_bytes(key, question);
  copy_bytes(text(label), MutableBytes(question).subspan(64));
  return memo.remembered(question, [&] { return crypto::blake2s({text(label), key}); });
}

// From the first DH of the response on, both ends do the same.
SealedResponse finish_response(Transcript transcript, crypto::Suite suite, const PlainResponse& plain,
                               const Bytes32& ee, const Bytes32& se, const Bytes32& psk) {
  mix_public(transcript, plain.ephemeral);
  transcript.chain = kdf(transcript.chain, ee)[0];
  transcript.chain = kdf(transcript.chain, se)[0];
  const auto derived = kdf(transcript.chain, psk);
  transcript.chain = derived[0];
  mix_hash(transcript, derived[1]);

  SealedResponse sealed;
  sealed.message.resize(92);
  store_le(sealed.message.data(), uint32_t{2});
  store_le(sealed.message.data() + 4, plain.sender);
  store_le(sealed.message.data() + 8, plain.receiver);
  put(sealed.message, 12, plain.ephemeral);
  put(sealed.message, 44, seal(suite, derived[2], 0, transcript.hash, {}));
  const auto keys = kdf(transcript.chain, {});
  sealed.keys = {keys[0], keys[1]};
  return sealed;
}

}  // namespace

Bytes32 dh(const Bytes32& private_key, const Bytes32& public_key) {
  crypto::SharedSecret shared;
  if (!crypto::x25519(private_key, PublicKey{public_key}, shared)) return {};
  return plain_of(shared);
}

Bytes32 public_of(const Bytes32& private_key) {
  return crypto::derive_public_key(private_key).bytes;
}

Bytes32 clamped(Bytes32 private_key) {
  crypto::clamp(private_key);
  return private_key;
}

bool is_zero(BytesView bytes) {
  for (const uint8_t byte : bytes) {
    if (byte != 0) return false;
  }
  return true;
}

crypto::Aead& reference_aead(crypto::Suite suite) {
  const auto make = [](crypto::Suite which) {
    crypto::initialize();
    auto aead = crypto::make_aead(crypto::Backend::kOpenssl, which);
    VPN_CHECK(aead != nullptr);
    return aead.release();
  };
  static crypto::Aead* const chacha = make(crypto::Suite::kChaCha20Poly1305);
  static crypto::Aead* const aes = make(crypto::Suite::kAes256Gcm);
  return suite == crypto::Suite::kAes256Gcm ? *aes : *chacha;
}

crypto::AeadSet fresh_aeads() {
  crypto::initialize();
  return {crypto::make_aead(crypto::Backend::kLibsodium, crypto::Suite::kChaCha20Poly1305),
          crypto::make_aead(crypto::Backend::kOpenssl, crypto::Suite::kAes256Gcm)};
}

std::optional<PlainInitiation> open_initiation(const Bytes32& responder_private, BytesView message) {
  VPN_CHECK(message.size() == 148);
  PlainInitiation plain;
  plain.sender = load_le<uint32_t>(message.data() + 4);
  copy_bytes(message.subspan(8, 32), plain.ephemeral);
  const Bytes32 es = dh(responder_private, plain.ephemeral);
  for (const crypto::Suite suite : {crypto::Suite::kChaCha20Poly1305, crypto::Suite::kAes256Gcm}) {
    plain.suite = suite;
    plain.after = begin(suite, public_of(responder_private));
    mix_public(plain.after, plain.ephemeral);
    const auto opened =
        open(suite, mix_shared(plain.after, es), 0, plain.after.hash, message.subspan(40, 48));
    if (!opened) continue;
    mix_hash(plain.after, message.subspan(40, 48));
    copy_bytes(*opened, plain.static_key);
    const Bytes32 ss = dh(responder_private, plain.static_key);
    const auto stamp = open(suite, mix_shared(plain.after, ss), 0, plain.after.hash, message.subspan(88, 28));
    plain.timestamp_opened = stamp.has_value();
    if (stamp) copy_bytes(*stamp, plain.timestamp);
    mix_hash(plain.after, message.subspan(88, 28));
    return plain;
  }
  return std::nullopt;
}

std::vector<uint8_t> seal_initiation(const Bytes32& responder_private, PlainInitiation& plain) {
  std::vector<uint8_t> message(148);
  store_le(message.data(), uint32_t{1});
  store_le(message.data() + 4, plain.sender);
  put(message, 8, plain.ephemeral);
  plain.after = begin(plain.suite, public_of(responder_private));
  mix_public(plain.after, plain.ephemeral);
  const Bytes32 es = dh(responder_private, plain.ephemeral);
  put(message, 40, seal(plain.suite, mix_shared(plain.after, es), 0, plain.after.hash, plain.static_key));
  mix_hash(plain.after, BytesView(message).subspan(40, 48));
  const Bytes32 ss = dh(responder_private, plain.static_key);
  put(message, 88, seal(plain.suite, mix_shared(plain.after, ss), 0, plain.after.hash, plain.timestamp));
  mix_hash(plain.after, BytesView(message).subspan(88, 28));
  return message;
}

SealedResponse seal_response_as_responder(const PlainInitiation& initiation, PlainResponse plain,
                                          const Bytes32& ephemeral_private, const Bytes32& psk) {
  plain.ephemeral = public_of(ephemeral_private);
  return finish_response(initiation.after, initiation.suite, plain,
                         dh(ephemeral_private, initiation.ephemeral),
                         dh(ephemeral_private, initiation.static_key), psk);
}

SealedResponse seal_response_as_initiator(const PlainInitiation& initiation, const PlainResponse& plain,
                                          const Bytes32& initiator_ephemeral,
                                          const Bytes32& initiator_private, const Bytes32& psk) {
  return finish_response(initiation.after, initiation.suite, plain, dh(initiator_ephemeral, plain.ephemeral),
                         dh(initiator_private, plain.ephemeral), psk);
}

Bytes16 mac1_of(const Bytes32& receiver_public, BytesView message) {
  return crypto::blake2s_mac16(labelled("mac1----", receiver_public), {message.first(message.size() - 32)});
}

Bytes16 mac2_of(const Bytes16& cookie, BytesView message) {
  return crypto::blake2s_mac16(cookie, {message.first(message.size() - 16)});
}

void write_macs(std::vector<uint8_t>& message, const Bytes32& receiver_public,
                const std::optional<Bytes16>& cookie) {
  put(message, message.size() - 32, mac1_of(receiver_public, message));
  put(message, message.size() - 16, cookie ? mac2_of(*cookie, message) : Bytes16{});
}

Bytes16 cookie_of(const Bytes32& secret, const UdpAddress& source) {
  const std::array<uint8_t, 2> port{static_cast<uint8_t>(source.port >> 8),
                                    static_cast<uint8_t>(source.port)};
  return crypto::blake2s_mac16(secret, {source.address.bytes(), port});
}

std::vector<uint8_t> seal_cookie_reply(const Bytes32& sender_public, uint32_t receiver,
                                       const std::array<uint8_t, 24>& nonce, BytesView mac1,
                                       const Bytes16& cookie) {
  const auto key = labelled("cookie--", sender_public);
  std::vector<uint8_t> message(64);
  store_le(message.data(), uint32_t{3});
  store_le(message.data() + 4, receiver);
  put(message, 8, nonce);
  crypto::xchacha20_poly1305_seal(crypto::AeadSecret(key), nonce, mac1, cookie,
                                  MutableBytes(message).subspan(32));
  return message;
}

std::optional<Bytes16> open_cookie_reply(const Bytes32& sender_public, BytesView mac1, BytesView message) {
  const auto key = labelled("cookie--", sender_public);
  Bytes16 cookie;
  if (!crypto::xchacha20_poly1305_open(crypto::AeadSecret(key), fixed_view<24>(message, 8), mac1,
                                       message.subspan(32), cookie)) {
    return std::nullopt;
  }
  return cookie;
}

std::vector<uint8_t> seal_data(crypto::Suite suite, const Bytes32& key, uint32_t receiver, uint64_t counter,
                               BytesView plain) {
  std::vector<uint8_t> message(16);
  store_le(message.data(), uint32_t{4});
  store_le(message.data() + 4, receiver);
  store_le(message.data() + 8, counter);
  const auto sealed = seal(suite, key, counter, {}, plain);
  message.insert(message.end(), sealed.begin(), sealed.end());
  return message;
}

std::optional<std::vector<uint8_t>> open_data(crypto::Suite suite, const Bytes32& key, BytesView message) {
  VPN_CHECK(message.size() >= 32);
  return open(suite, key, load_le<uint64_t>(message.data() + 8), {}, message.subspan(16));
}

}  // namespace vpn::fuzz
