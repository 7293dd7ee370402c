// Netem: the kernel's engine. It carries out an Impairment on what one interface sends, by a netem qdisc at
// the root and, for a rate, a tbf below it.
//
// How the model becomes netem's:
//   loss, burst     netem knows one of them at a time: both together become one Gilbert–Elliott chain
//   jitter, reorder a table of delays drawn from (lab/impair/delay_table.h). (netem's own "reorder" sends the
//                   chosen packets ahead, which reorders all the others.)
//   rate, queue     after the delay, not before it: the sum is the same. The queue is a pfifo below the
//                   tbf, for tbf's own counts bytes. netem's own limit is set so high that it never takes
//                   part.
//   slot            netem's own
//   corrupt         netem's own: the checksums no longer fit, so most of the damage is loss to the receiver
//   mtu             that of the sending interface: the sending host knows it at once, the other end drops
//                   what is longer than its own
// It cannot drop by message, nor swallow long packets without ICMP, and no two runs are alike beyond loss and
// duplication: ask the wire for that (lab/impair/netem_limits.h tells).
#pragma once

#include <cstdint>
#include <string>

#include "lab/error.h"
#include "lab/impair/impairment.h"
#include "lab/kernel/netlink.h"

namespace lab {

// Whether this kernel has netem: tries it on the loopback of the namespace `netlink` is open in.
[[nodiscard]] bool has_netem(Netlink& netlink);

// Replaces whatever weather `interface` had. `seed` makes loss and duplication repeat on kernels from 6.6 on.
[[nodiscard]] Result<void> set_netem(Netlink& netlink, const std::string& interface,
                                     const Impairment& impairment, unsigned link_mtu_bytes, uint64_t seed);

// What netem has kept from arriving since set_netem(), in packets.
struct NetemCounters {
  uint64_t lost = 0;        // by chance
  uint64_t queue_full = 0;  // at the rate
  uint64_t waiting = 0;     // on their way: delayed, or queued for the rate
};
// All zero where the interface has no weather.
[[nodiscard]] Result<NetemCounters> netem_counters(Netlink& netlink, const std::string& interface);

// Switches the interface's segmentation and checksum offloads off, so that netem meets every packet as it
// would be on a cable. To be called in the interface's network namespace.
[[nodiscard]] Result<void> disable_offloads(const std::string& interface);

}  // namespace lab
