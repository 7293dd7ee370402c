// StateFile: the greatest TAI64N stamp an interface has sent, kept across restarts in
// /var/lib/vpn/INTERFACE.state, so that a wall clock which stepped back cannot lock it out of its peers.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vpn/io/unique_fd.h"

namespace vpn::daemon {

class StateFile {
 public:
  using Stamp = std::array<uint8_t, 12>;

  // The file's content: 24 hexadecimal digits and a line feed.
  [[nodiscard]] static std::string to_text(const Stamp& stamp);
  // Empty when the text does not begin with such digits.
  [[nodiscard]] static std::optional<Stamp> parse(std::string_view text) noexcept;

  // Opens (and creates) the file; stays without one where the folder cannot be written or another
  // daemon holds the file.
  explicit StateFile(const std::string& interface);
  // Leaves no empty file behind.
  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  [[nodiscard]] bool is_kept() const noexcept { return fd_.is_open(); }
  // Empty when nothing was kept, or it is damaged.
  [[nodiscard]] std::optional<Stamp> read() const;
  // Writes it if it differs from what was written last.
  void write(const Stamp& stamp) noexcept;

 private:
  std::string path_;
  io::UniqueFd fd_;
  Stamp written_{};
};

}  // namespace vpn::daemon
