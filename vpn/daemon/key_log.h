// KeyLog: the secrets of every session, for Wireshark. Whoever has the file can read the tunnel's traffic: it
// exists only where it was asked for.
#pragma once

#include <optional>
#include <string>

#include "vpn/base/error.h"
#include "vpn/base/ids.h"
#include "vpn/base/result.h"
#include "vpn/base/secret.h"
#include "vpn/io/unique_fd.h"

namespace vpn::daemon {

class KeyLog {
 public:
  // Appends to the file, making it with mode 0600. An Error where it is no regular file, not ours, or where
  // others may read or write it.
  [[nodiscard]] static Result<KeyLog, Error> open(const std::string& path);

  // What Wireshark needs for one handshake (its "WireGuard key log": NAME=base64, one a line): our static and
  // ephemeral private keys, the peer's public key, and the pre-shared key unless it is zero.
  // Returns whether it could be written.
  bool add(const Secret<32>& local_static, const PublicKey& remote_static, const Secret<32>& ephemeral,
           const Secret<32>& preshared_key);

 private:
  explicit KeyLog(io::UniqueFd file) : file_(std::move(file)) {}
  io::UniqueFd file_;
};

}  // namespace vpn::daemon
