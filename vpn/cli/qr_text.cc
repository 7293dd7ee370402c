#include "vpn/cli/qr_text.h"

#include <qrencode.h>

#include <memory>

namespace vpn::cli {
namespace {

constexpr int kQuietZone = 4;
constexpr std::string_view kBlackOnWhite = "\x1b[30;47m";
constexpr std::string_view kReset = "\x1b[0m";

struct FreeCode {
  void operator()(QRcode* code) const noexcept {
    // The modules are the secret in another form.
    wipe({code->data, static_cast<size_t>(code->width) * static_cast<size_t>(code->width)});
    QRcode_free(code);
  }
};

bool is_dark(const QRcode& code, int row, int column) noexcept {
  const bool inside = row >= 0 && column >= 0 && row < code.width && column < code.width;
  return inside && (code.data[row * code.width + column] & 1) != 0;
}

}  // namespace

Result<daemon::SecretText, Error> qr_text(std::string_view content) {
  const std::unique_ptr<QRcode, FreeCode> code(
      QRcode_encodeData(static_cast<int>(content.size()),
                        reinterpret_cast<const unsigned char*>(content.data()), 0, QR_ECLEVEL_L));
  if (!code) {
    return fail(Error{"", 0, "", std::to_string(content.size()) + " bytes do not fit a QR code",
                      "copy the file itself"});
  }
  std::string text;
  const int begin = -kQuietZone;
  const int end = code->width + kQuietZone;
  text.reserve(static_cast<size_t>((end - begin) * (end - begin)) * 2);
  for (int row = begin; row < end; row += 2) {
    text += kBlackOnWhite;
    for (int column = begin; column < end; ++column) {
      const bool upper = is_dark(*code, row, column);
      const bool lower = is_dark(*code, row + 1, column);
      text += upper ? (lower ? "█" : "▀") : (lower ? "▄" : " ");
    }
    text.append(kReset).append("\n");
  }
  return daemon::SecretText(std::move(text));
}

}  // namespace vpn::cli
