// Views of bytes. A view never owns: whoever hands one out says how long it stays valid.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace vpn {

using BytesView = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

// Copies `from` to the front of `to`; `to` must be at least as long. memcpy with null and zero length is
// avoided.
inline void copy_bytes(BytesView from, MutableBytes to) noexcept {
  if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
}

// The N bytes of `view` from `offset` on as a fixed-size view; the caller has checked the length.
template <size_t N>
std::span<const uint8_t, N> fixed_view(BytesView view, size_t offset = 0) noexcept {
  return view.subspan(offset).template first<N>();
}

}  // namespace vpn
