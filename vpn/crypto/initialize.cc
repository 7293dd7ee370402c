#include "vpn/crypto/initialize.h"

#include "vpn/base/secret.h"

namespace vpn::crypto {

void initialize() noexcept {
  initialize_sodium();
}

}  // namespace vpn::crypto
