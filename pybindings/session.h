// A session as scripts use it: core::Session with a counter and a window of its own, both in the script's
// hands.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "pybindings/bindings.h"
#include "vpn/core/drop.h"
#include "vpn/core/replay_window.h"
#include "vpn/core/session.h"
#include "vpn/noise/handshake.h"

namespace vpn::python {

class Session {
 public:
  Session(const noise::TransportKeys& keys, crypto::Suite suite, uint32_t local_index, uint32_t remote_index,
          bool initiator);

  py::bytes seal(const py::bytes& plain, std::optional<uint64_t> counter);
  std::variant<py::bytes, core::Drop> open(const py::bytes& datagram);

  [[nodiscard]] uint64_t counter() const noexcept { return next_counter_; }
  void set_counter(uint64_t counter) noexcept { next_counter_ = counter; }
  [[nodiscard]] uint32_t local_index() const noexcept { return session_.local_index().value; }
  [[nodiscard]] uint32_t remote_index() const noexcept { return session_.remote_index().value; }
  [[nodiscard]] bool is_initiator() const noexcept { return session_.is_initiator(); }

 private:
  core::Session session_;
  Counter next_counter_ = 0;
  core::ReplayWindow window_;
};

}  // namespace vpn::python
