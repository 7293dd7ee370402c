// SecretText: text that holds keys, wiped when it goes.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "vpn/base/secret.h"

namespace vpn::daemon {

class SecretText {
 public:
  SecretText() = default;
  explicit SecretText(std::string text) noexcept { text_.swap(text); }
  // Swapping, because a moved-from short string keeps its characters.
  SecretText(SecretText&& other) noexcept { text_.swap(other.text_); }
  SecretText& operator=(SecretText&& other) noexcept {
    text_.swap(other.text_);
    return *this;
  }
  ~SecretText() { wipe({reinterpret_cast<uint8_t*>(text_.data()), text_.size()}); }

  [[nodiscard]] std::string_view view() const noexcept { return text_; }

 private:
  std::string text_;
};

}  // namespace vpn::daemon
