#include "vpn/noise/handshake.h"

#include <string_view>

#include "vpn/base/endian.h"
#include "vpn/crypto/x25519.h"

namespace vpn::noise {
namespace {

constexpr std::string_view kIdentifier = "WireGuard v1 zx2c4 Jason@zx2c4.com";
constexpr uint64_t kTai64Epoch = 0x400000000000000aULL;
constexpr uint32_t kTimestampGranularity = 1u << 24;
constexpr uint32_t kNanosecondsPerSecond = 1'000'000'000;

BytesView text_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

void mix_hash(SymmetricState& state, BytesView data) noexcept {
  state.hash = crypto::blake2s({state.hash, data});
}

void mix_key(SymmetricState& state, BytesView input) noexcept {
  state.chain = crypto::kdf1(state.chain, input);
}

// MixKey that also yields the key for the next AEAD.
crypto::AeadSecret mix_key_and_derive(SymmetricState& state, BytesView input) noexcept {
  crypto::Kdf2 derived = crypto::kdf2(state.chain, input);
  state.chain = std::move(derived.first);
  return std::move(derived.second);
}

// MixKeyAndHash with the preshared key, Noise section 9.
crypto::AeadSecret mix_preshared_key(SymmetricState& state, const Secret<32>& preshared_key) noexcept {
  crypto::Kdf3 derived = crypto::kdf3(state.chain, preshared_key.view());
  state.chain = std::move(derived.first);
  mix_hash(state, derived.second.view());
  return std::move(derived.third);
}

// C0 and H0, with the responder's static key (known beforehand in IK) mixed in.
SymmetricState begin(crypto::Suite suite, const PublicKey& responder) noexcept {
  SymmetricState state;
  const crypto::Hash chain = crypto::blake2s({text_bytes(construction_name(suite))});
  state.chain = crypto::ChainSecret(chain);
  state.hash = crypto::blake2s({chain, text_bytes(kIdentifier)});
  mix_hash(state, responder.bytes);
  return state;
}

// EncryptAndHash with a key that is used for this one message: counter 0, the transcript as associated data.
void seal_and_hash(crypto::Aead& aead, SymmetricState& state, const crypto::AeadSecret& key, BytesView plain,
                   MutableBytes sealed) noexcept {
  aead.seal(*aead.make_key(key), 0, state.hash, plain, sealed);
  mix_hash(state, sealed);
}

[[nodiscard]] bool open_and_hash(crypto::Aead& aead, SymmetricState& state, const crypto::AeadSecret& key,
                                 BytesView sealed, MutableBytes plain) noexcept {
  if (!aead.open(*aead.make_key(key), 0, state.hash, sealed, plain)) return false;
  mix_hash(state, sealed);
  return true;
}

TransportKeys split(const SymmetricState& state, bool initiator) noexcept {
  crypto::Kdf2 keys = crypto::kdf2(state.chain, {});
  if (initiator) return {std::move(keys.first), std::move(keys.second)};
  return {std::move(keys.second), std::move(keys.first)};
}

// Writes type and reserved bytes, and zeros for everything after: the MACs are filled in last.
void start_message(MutableBytes out, wire::MessageType type) noexcept {
  std::memset(out.data(), 0, out.size());
  store_le(out.data(), static_cast<uint32_t>(type));
}

}  // namespace

std::string_view construction_name(crypto::Suite suite) noexcept {
  return suite == crypto::Suite::kAes256Gcm ? "Noise_IKpsk2_25519_AESGCM_BLAKE2s"
                                            : "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
}

Timestamp make_timestamp(UnixTime time) noexcept {
  Timestamp stamp;
  store_be(stamp.data(), kTai64Epoch + static_cast<uint64_t>(time.seconds));
  store_be(stamp.data() + 8, time.nanoseconds & ~(kTimestampGranularity - 1));
  return stamp;
}

Timestamp next_timestamp(const Timestamp& timestamp) noexcept {
  uint64_t seconds = load_be<uint64_t>(timestamp.data());
  uint32_t nanoseconds =
      (load_be<uint32_t>(timestamp.data() + 8) & ~(kTimestampGranularity - 1)) + kTimestampGranularity;
  if (nanoseconds >= kNanosecondsPerSecond) {
    ++seconds;
    nanoseconds = 0;
  }
  Timestamp next;
  store_be(next.data(), seconds);
  store_be(next.data() + 8, nanoseconds);
  return next;
}

Result<InitiatorState, HandshakeError> create_initiation(
    const crypto::AeadSet& aeads, crypto::Suite suite, const LocalIdentity& local,
    const RemoteIdentity& remote, Secret<32> ephemeral, SessionIndex local_index, const Timestamp& timestamp,
    std::span<uint8_t, wire::kInitiationBytes> out) noexcept {
  if (!remote.static_static()) return fail(HandshakeError::kLowOrderKey);
  crypto::Aead& aead = aeads.of(suite);
  crypto::clamp(ephemeral.mutable_view());
  InitiatorState state{local_index, suite, begin(suite, remote.public_key()), std::move(ephemeral)};
  start_message(out, wire::MessageType::kInitiation);
  store_le(out.data() + 4, local_index.value);

  // e
  const PublicKey ephemeral_public = crypto::derive_public_key(state.ephemeral.view());
  copy_bytes(ephemeral_public.bytes, out.subspan<8>());
  mix_hash(state.symmetric, ephemeral_public.bytes);
  mix_key(state.symmetric, ephemeral_public.bytes);

  // es
  Secret<32> shared;
  if (!crypto::x25519(state.ephemeral.view(), remote.public_key(), shared))
    return fail(HandshakeError::kLowOrderKey);
  crypto::AeadSecret key = mix_key_and_derive(state.symmetric, shared.view());

  // s
  seal_and_hash(aead, state.symmetric, key, local.public_key().bytes, out.subspan<40, 48>());

  // ss
  key = mix_key_and_derive(state.symmetric, remote.static_static()->view());

  // {t}
  seal_and_hash(aead, state.symmetric, key, timestamp, out.subspan<88, 28>());
  return state;
}

Result<OpenedInitiation, HandshakeError> open_initiation(const crypto::AeadSet& aeads,
                                                         const LocalIdentity& local,
                                                         const wire::Initiation& message) noexcept {
  OpenedInitiation opened;
  opened.remote = message.sender;
  copy_bytes(message.ephemeral, opened.remote_ephemeral.bytes);
  Secret<32> shared;
  if (!crypto::x25519(local.private_key(), opened.remote_ephemeral, shared))
    return fail(HandshakeError::kLowOrderKey);
  for (const crypto::Suite suite : {crypto::Suite::kChaCha20Poly1305, crypto::Suite::kAes256Gcm}) {
    opened.suite = suite;
    opened.symmetric = begin(suite, local.public_key());

    // e
    mix_hash(opened.symmetric, message.ephemeral);
    mix_key(opened.symmetric, message.ephemeral);

    // es
    const crypto::AeadSecret key = mix_key_and_derive(opened.symmetric, shared.view());

    // s
    if (open_and_hash(aeads.of(suite), opened.symmetric, key, message.sealed_static,
                      opened.remote_static.bytes))
      return opened;
  }
  return fail(HandshakeError::kAuth);
}

Result<ResponderState, HandshakeError> authenticate_initiation(const crypto::AeadSet& aeads,
                                                               const OpenedInitiation& opened,
                                                               const RemoteIdentity& remote,
                                                               const wire::Initiation& message) noexcept {
  if (!remote.static_static()) return fail(HandshakeError::kLowOrderKey);
  ResponderState state{
      opened.remote, opened.suite, opened.symmetric, opened.remote_static, opened.remote_ephemeral, {}};

  // ss
  const crypto::AeadSecret key = mix_key_and_derive(state.symmetric, remote.static_static()->view());

  // {t}
  if (!open_and_hash(aeads.of(state.suite), state.symmetric, key, message.sealed_timestamp,
                     state.timestamp)) {
    return fail(HandshakeError::kAuth);
  }
  return state;
}

Result<TransportKeys, HandshakeError> create_response(const crypto::AeadSet& aeads,
                                                      const ResponderState& state,
                                                      const RemoteIdentity& remote, Secret<32> ephemeral,
                                                      SessionIndex local_index,
                                                      std::span<uint8_t, wire::kResponseBytes> out) noexcept {
  crypto::clamp(ephemeral.mutable_view());
  SymmetricState symmetric = state.symmetric;
  start_message(out, wire::MessageType::kResponse);
  store_le(out.data() + 4, local_index.value);
  store_le(out.data() + 8, state.remote.value);

  // e
  const PublicKey ephemeral_public = crypto::derive_public_key(ephemeral.view());
  copy_bytes(ephemeral_public.bytes, out.subspan<12>());
  mix_hash(symmetric, ephemeral_public.bytes);
  mix_key(symmetric, ephemeral_public.bytes);

  // ee
  Secret<32> shared;
  if (!crypto::x25519(ephemeral.view(), state.remote_ephemeral, shared))
    return fail(HandshakeError::kLowOrderKey);
  mix_key(symmetric, shared.view());

  // se
  if (!crypto::x25519(ephemeral.view(), state.remote_static, shared))
    return fail(HandshakeError::kLowOrderKey);
  mix_key(symmetric, shared.view());

  // psk
  const crypto::AeadSecret key = mix_preshared_key(symmetric, remote.preshared_key());

  // {}
  seal_and_hash(aeads.of(state.suite), symmetric, key, {}, out.subspan<44, 16>());
  return split(symmetric, /*initiator=*/false);
}

Result<TransportKeys, HandshakeError> consume_response(const crypto::AeadSet& aeads,
                                                       const InitiatorState& state,
                                                       const LocalIdentity& local,
                                                       const RemoteIdentity& remote,
                                                       const wire::Response& message) noexcept {
  SymmetricState symmetric = state.symmetric;
  PublicKey remote_ephemeral;
  copy_bytes(message.ephemeral, remote_ephemeral.bytes);

  // e
  mix_hash(symmetric, message.ephemeral);
  mix_key(symmetric, message.ephemeral);

  // ee
  Secret<32> shared;
  if (!crypto::x25519(state.ephemeral.view(), remote_ephemeral, shared))
    return fail(HandshakeError::kLowOrderKey);
  mix_key(symmetric, shared.view());

  // se
  if (!crypto::x25519(local.private_key(), remote_ephemeral, shared))
    return fail(HandshakeError::kLowOrderKey);
  mix_key(symmetric, shared.view());

  // psk
  const crypto::AeadSecret key = mix_preshared_key(symmetric, remote.preshared_key());

  // {}
  if (!open_and_hash(aeads.of(state.suite), symmetric, key, message.sealed_empty, {}))
    return fail(HandshakeError::kAuth);
  return split(symmetric, /*initiator=*/true);
}

}  // namespace vpn::noise
