// QR codes as text for a terminal.
#pragma once

#include <string>
#include <string_view>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/daemon/secret_text.h"

namespace vpn::cli {

// `content` as a QR code (ISO/IEC 18004, level L), two rows of modules a line: dark on light whatever the
// terminal's colours, with the quiet zone of four modules around. An error when the content is longer than a
// code holds (2,953 bytes).
[[nodiscard]] Result<daemon::SecretText, Error> qr_text(std::string_view content);

}  // namespace vpn::cli
