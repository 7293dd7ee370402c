// Making keys, as the verbs genkey, genpsk and invite do.
#pragma once

#include <optional>

#include "vpn/base/ids.h"
#include "vpn/base/secret.h"
#include "vpn/daemon/secret_text.h"

namespace vpn::cli {

// A new X25519 private key, clamped (RFC 7748 section 5), from the kernel's random generator.
[[nodiscard]] Secret<32> make_private_key() noexcept;
// 32 random bytes; never zeros, which would mean "none".
[[nodiscard]] Secret<32> make_preshared_key() noexcept;
// The public key that belongs to a private one, clamped or not; none for none, and for zeros, which mean
// none.
[[nodiscard]] std::optional<PublicKey> public_key_of(const std::optional<Secret<32>>& private_key);
// The key in base64 (44 characters).
[[nodiscard]] daemon::SecretText to_secret_base64(const Secret<32>& key);
// True when `fd` is a regular file that everyone may read: no place for a key.
[[nodiscard]] bool is_world_readable_file(int fd) noexcept;

}  // namespace vpn::cli
