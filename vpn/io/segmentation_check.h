// Whether the kernel sends and receives runs of datagrams without changing them. Some have not (Linux 7.0
// to 7.1.4 corrupts batches of equal segments): nothing fails then, datagrams are only other ones than were
// sent.
#pragma once

#include "vpn/io/system_calls.h"

namespace vpn::io {

// Sends runs to a socket of our own over the loopback interface, and reads them: one by one, then as runs
// again. False: what came differs from what was sent, or some of it did not come. True also where nothing can
// be said: the kernel has no segmentation, the loopback interface is down, or a firewall lets nothing through
// it (then after a tenth of a second).
[[nodiscard]] bool segmentation_keeps_bytes(SystemCalls& calls = system_calls());

}  // namespace vpn::io
