// The choice among backends at start-up, apart from the list of them, so that tests can hand in broken ones.
#pragma once

#include <memory>
#include <vector>

#include "vpn/crypto/aead.h"

namespace vpn::crypto {

// Whether `aead` seals known packets of many lengths to the known answer of its suite, opens what it sealed,
// alone and in batches, and refuses whatever was changed.
[[nodiscard]] bool is_sound(Aead& aead) noexcept;

// Whether each of the two (of one suite) opens what the other sealed, and refuses it when it was changed.
[[nodiscard]] bool agree(Aead& one, Aead& other) noexcept;

// The first sound one of `candidates` (of one suite, in order of preference, empty ones left out) that agrees
// with another sound one. A sound one without another to compare with is trusted on its known answers; empty
// when there is none.
[[nodiscard]] std::unique_ptr<Aead> first_trusted(std::vector<std::unique_ptr<Aead>> candidates) noexcept;

}  // namespace vpn::crypto
