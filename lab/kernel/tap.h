// Tap: one end of a user-space link: an Ethernet interface whose other side is a file descriptor.
#pragma once

#include <string>

#include "lab/error.h"
#include "lab/kernel/unique_fd.h"

namespace lab {

// Makes an interface in the calling thread's network namespace. Its frames are read from and written to the
// descriptor that is returned (non-blocking), each behind a VirtioHeader. The interface goes when the
// descriptor is closed.
[[nodiscard]] Result<UniqueFd> create_tap(const std::string& name);

// Whether the kernel may hand over frames longer than the MTU, or without checksums, for the far kernel to
// finish. Off, every frame is as it would be on a cable.
[[nodiscard]] Result<void> set_tap_offload(const UniqueFd& tap, bool on);

}  // namespace lab
