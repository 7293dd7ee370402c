// Built in place of aead_ipsec_mb.cc where intel-ipsec-mb is not installed, and on processors other than
// x86-64.
#include "vpn/crypto/aead_backends.h"

namespace vpn::crypto {

std::unique_ptr<Aead> make_ipsec_mb_aead(Suite) noexcept {
  return nullptr;
}

}  // namespace vpn::crypto
