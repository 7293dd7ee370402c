#include "vpn/cli/keys.h"

#include <sodium.h>
#include <sys/stat.h>

#include "vpn/config/text.h"
#include "vpn/crypto/x25519.h"

namespace vpn::cli {

Secret<32> make_private_key() noexcept {
  Secret<32> key = make_preshared_key();
  crypto::clamp(key.mutable_view());
  return key;
}

Secret<32> make_preshared_key() noexcept {
  Secret<32> key;
  while (key.is_zero()) randombytes_buf(key.mutable_view().data(), key.mutable_view().size());
  return key;
}

std::optional<PublicKey> public_key_of(const std::optional<Secret<32>>& private_key) {
  if (!private_key || private_key->is_zero()) return std::nullopt;
  Secret<32> clamped = *private_key;
  crypto::clamp(clamped.mutable_view());
  return crypto::derive_public_key(clamped.view());
}

daemon::SecretText to_secret_base64(const Secret<32>& key) {
  return daemon::SecretText(config::to_base64(key.view()));
}

bool is_world_readable_file(int fd) noexcept {
  struct stat status {};
  return fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & S_IROTH) != 0;
}

}  // namespace vpn::cli
