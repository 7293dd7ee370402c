// Fault points: places where a test lets the process die as by `kill -9`.
#pragma once

namespace vpn::host {

// In builds with VPN_FAULT_POINTS, and there only: the n-th call kills the process with SIGKILL when the
// environment variable VPN_FAULT_AT says n.
#ifdef VPN_FAULT_POINTS
void fault_point() noexcept;
#else
inline void fault_point() noexcept {}
#endif

}  // namespace vpn::host
