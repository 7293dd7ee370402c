// What Node and World hand to Python alike.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "pybindings/bindings.h"
#include "vpn/core/drop.h"
#include "vpn/core/node.h"

namespace vpn::python {

struct PyEvent {
  std::string kind;
  uint32_t peer = 0;
  double when = 0;
  std::optional<std::string> endpoint;
  std::optional<core::Drop> drop;
  bool initiator = false;
};
[[nodiscard]] PyEvent to_python(const core::Event& event);

[[nodiscard]] std::string endpoint_text(const core::Endpoint& endpoint);

// Counts by reason; reasons that never occurred are left out.
[[nodiscard]] std::map<std::string, uint64_t> drops_of(const core::Node& node);

}  // namespace vpn::python
