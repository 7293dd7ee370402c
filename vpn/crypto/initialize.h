// One-time start-up of the libraries underneath.
#pragma once

namespace vpn::crypto {

// Prepares libsodium: it looks at the processor, and opens the system's random device, which its guarded
// memory needs. Call it early in main(), before privileges and files are given up; any number of times, from
// any thread. make_aead(), select_aeads() and LockedSecret call it too, so that forgetting it costs nothing
// but the order.
void initialize() noexcept;

}  // namespace vpn::crypto
