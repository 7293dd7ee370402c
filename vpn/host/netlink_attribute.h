// Reading one netlink attribute without trusting its length: libnl's nla_get_u32() reads four bytes whatever
// the attribute holds.
#pragma once

#include <netlink/attr.h>

#include <cstdint>
#include <optional>

namespace vpn::host {

// The attribute's number, in the host's byte order; empty when there is no attribute, or it holds fewer than
// four bytes.
[[nodiscard]] inline std::optional<uint32_t> u32_in(const nlattr* attribute) noexcept {
  if (attribute == nullptr || nla_len(attribute) < static_cast<int>(sizeof(uint32_t))) return std::nullopt;
  return nla_get_u32(attribute);
}

}  // namespace vpn::host
