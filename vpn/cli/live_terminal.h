// LiveTerminal: a terminal while a program redraws it: alternate screen, no echo, keys at once. Its state
// comes back when the object goes.
#pragma once

#include <termios.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "vpn/io/unique_fd.h"

namespace vpn::cli {

class LiveTerminal {
 public:
  // `in_fd` and `out_fd` stay the caller's. SIGINT, SIGTERM and SIGWINCH are taken as events meanwhile.
  LiveTerminal(int in_fd, int out_fd);
  ~LiveTerminal();
  LiveTerminal(const LiveTerminal&) = delete;
  LiveTerminal& operator=(const LiveTerminal&) = delete;

  struct Size {
    size_t width = 80, height = 24;
  };
  // In characters, as the terminal is now; 80 by 24 where it does not tell.
  [[nodiscard]] Size size() const noexcept;

  // Replaces the picture; what stays the same does not flicker. False when the terminal is gone.
  [[nodiscard]] bool draw(const std::string& frame) const;

  enum class Event : uint8_t { kTimeout, kResized, kQuit };
  // Until the time is over, the size changes, or the user wants to leave: q, Ctrl-C, or a signal to end.
  [[nodiscard]] Event wait(std::chrono::milliseconds time) const;

 private:
  [[nodiscard]] bool write_all(std::string_view text) const;

  int in_fd_, out_fd_;
  bool has_input_ = false;
  termios before_{};
  sigset_t signals_before_{};
  io::UniqueFd signals_;
};

}  // namespace vpn::cli
