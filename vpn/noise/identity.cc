#include "vpn/noise/identity.h"

#include <string_view>

#include "vpn/crypto/x25519.h"

namespace vpn::noise {
namespace {

crypto::Hash labelled_hash(std::string_view label, const PublicKey& key) noexcept {
  return crypto::blake2s(
      {BytesView(reinterpret_cast<const uint8_t*>(label.data()), label.size()), key.bytes});
}

LockedSecret<32> clamped(const Secret<32>& private_key) noexcept {
  Secret<32> copy = private_key;
  crypto::clamp(copy.mutable_view());
  return LockedSecret<32>(copy.view());
}

}  // namespace

crypto::Hash mac1_key(const PublicKey& receiver) noexcept {
  return labelled_hash("mac1----", receiver);
}

crypto::AeadSecret cookie_key(const PublicKey& sender) noexcept {
  return crypto::AeadSecret(labelled_hash("cookie--", sender));
}

LocalIdentity::LocalIdentity(const Secret<32>& private_key) noexcept
    : private_key_(clamped(private_key)),
      public_key_(crypto::derive_public_key(private_key_.view())),
      mac1_key_(noise::mac1_key(public_key_)),
      cookie_key_(noise::cookie_key(public_key_)) {}

RemoteIdentity::RemoteIdentity(const PublicKey& public_key) noexcept
    : public_key_(public_key),
      mac1_key_(noise::mac1_key(public_key)),
      cookie_key_(noise::cookie_key(public_key)) {}

void RemoteIdentity::pair_with(const LocalIdentity* local) noexcept {
  static_static_.reset();
  if (local == nullptr) return;
  Secret<32> shared;
  if (crypto::x25519(local->private_key(), public_key_, shared)) static_static_.emplace(std::move(shared));
}

}  // namespace vpn::noise
