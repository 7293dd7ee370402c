// The long-term keys of a handshake: our own identity, and what is known of a peer. All that can be computed
// once per key is computed here, so that a handshake costs four scalar multiplications and no more.
#pragma once

#include <optional>

#include "vpn/base/ids.h"
#include "vpn/base/secret.h"
#include "vpn/crypto/aead.h"
#include "vpn/crypto/blake2s.h"

namespace vpn::noise {

// H("mac1----" ‖ S): the key of mac1 in messages to whoever owns the public key.
[[nodiscard]] crypto::Hash mac1_key(const PublicKey& receiver) noexcept;
// H("cookie--" ‖ S): the key that seals cookies from whoever owns the public key.
[[nodiscard]] crypto::AeadSecret cookie_key(const PublicKey& sender) noexcept;

// Our own key pair.
class LocalIdentity {
 public:
  // `private_key` is clamped here.
  explicit LocalIdentity(const Secret<32>& private_key) noexcept;

  [[nodiscard]] std::span<const uint8_t, 32> private_key() const noexcept { return private_key_.view(); }
  [[nodiscard]] const PublicKey& public_key() const noexcept { return public_key_; }
  [[nodiscard]] const crypto::Hash& mac1_key() const noexcept { return mac1_key_; }
  [[nodiscard]] const crypto::AeadSecret& cookie_key() const noexcept { return cookie_key_; }

 private:
  LockedSecret<32> private_key_;
  PublicKey public_key_;
  crypto::Hash mac1_key_;
  crypto::AeadSecret cookie_key_;
};

// A peer's public key with what we derive from it, and the optional preshared key (zeros: none).
class RemoteIdentity {
 public:
  explicit RemoteIdentity(const PublicKey& public_key) noexcept;

  // Computes the static-static secret. To be called whenever our own key changes.
  void pair_with(const LocalIdentity* local) noexcept;
  void set_preshared_key(const Secret<32>& key) noexcept { preshared_key_ = key; }

  [[nodiscard]] const PublicKey& public_key() const noexcept { return public_key_; }
  [[nodiscard]] const crypto::Hash& mac1_key() const noexcept { return mac1_key_; }
  [[nodiscard]] const crypto::AeadSecret& cookie_key() const noexcept { return cookie_key_; }
  [[nodiscard]] const Secret<32>& preshared_key() const noexcept { return preshared_key_; }
  // DH(own static, peer's static); empty when we have no key or the peer's is of small order, which ends
  // every handshake.
  [[nodiscard]] const std::optional<Secret<32>>& static_static() const noexcept { return static_static_; }

 private:
  PublicKey public_key_;
  crypto::Hash mac1_key_;
  crypto::AeadSecret cookie_key_;
  Secret<32> preshared_key_;
  std::optional<Secret<32>> static_static_;
};

}  // namespace vpn::noise
