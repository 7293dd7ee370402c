// Netem: the kernel's engine. It carries out an Impairment on what one interface sends, by a netem qdisc at
// the root and, for a rate, a tbf below it.
//
// How the model becomes netem's:
//   loss, burst     netem knows one of them at a time: both together become one Gilbert–Elliott chain
//   jitter, reorder a table of delays drawn from: a share `reorder` of it lies `reorder_hold` later. (netem's
//   own "reorder"
//                   sends the chosen packets ahead, which reorders all the others.)
//   rate            after the delay, not before it: the sum is the same
//   mtu             that of the sending interface; the kernel then answers by ICMP, or fragments
// It cannot drop by message, nor swallow long packets without ICMP, and no two runs are alike beyond loss and
// duplication: ask the wire for that.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lab/error.h"
#include "lab/impair/impairment.h"
#include "lab/kernel/netlink.h"

namespace lab {

// Whether this kernel has netem: tries it on the loopback of the namespace `netlink` is open in.
[[nodiscard]] bool has_netem(Netlink& netlink);

// What netem cannot do of this; nothing where it can do all of it.
[[nodiscard]] std::string beyond_netem(const Impairment& impairment);

// Replaces whatever weather `interface` had. `seed` makes loss and duplication repeat on kernels from 6.6 on.
[[nodiscard]] Result<void> set_netem(Netlink& netlink, const std::string& interface,
                                     const Impairment& impairment, unsigned link_mtu_bytes, uint64_t seed);

// Switches the interface's segmentation and checksum offloads off, so that netem meets every packet as it
// would be on a cable. To be called in the interface's network namespace.
[[nodiscard]] Result<void> disable_offloads(const std::string& interface);

// The delays of a netem table, in units of `sigma`/8192 from the mean: uniform in ±jitter, a share `reorder`
// of them `reorder_hold` later. Empty where a plain uniform jitter, or none, says it all.
struct DelayTable {
  Duration sigma{};
  std::vector<int16_t> values;
};
[[nodiscard]] DelayTable delay_table(const Impairment& impairment);

}  // namespace lab
