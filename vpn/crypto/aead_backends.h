// What each backend's file offers to make_aead(). Every function returns null where this build, the installed
// library or this processor cannot do the suite. crypto::initialize() has been called.
#pragma once

#include <memory>

#include "vpn/crypto/aead.h"

namespace vpn::crypto {

// A suite by one backend; null where this processor or this build does not offer it.
[[nodiscard]] std::unique_ptr<Aead> make_sodium_aead(Suite suite) noexcept;
[[nodiscard]] std::unique_ptr<Aead> make_openssl_aead(Suite suite) noexcept;
[[nodiscard]] std::unique_ptr<Aead> make_ipsec_mb_aead(Suite suite) noexcept;

}  // namespace vpn::crypto
