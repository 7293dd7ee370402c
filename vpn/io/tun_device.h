// TunDevice: one queue of a Linux TUN interface, plain or with super-packets (IFF_VNET_HDR, TSO, USO).
#pragma once

#include <span>
#include <string>

#include "vpn/base/bytes.h"
#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/io/system_calls.h"
#include "vpn/io/unique_fd.h"
#include "vpn/offload/vnet_header.h"

namespace vpn::io {

struct TunOptions {
  std::string name;          // a printf-like "%d" lets the kernel choose a number
  bool offload = true;       // ask for super-packets; without, every packet is within the MTU
  bool multi_queue = false;  // more queues may be opened with open_queue()
  SystemCalls* calls = &system_calls();
};

class TunDevice {
 public:
  // What this device exchanges beyond plain packets.
  struct Features {
    bool vnet_header = false;
    bool tso = false;                             // TCP super-packets both ways
    bool uso = false;                             // UDP super-packets both ways
    [[nodiscard]] std::string to_string() const;  // "tso uso", "off"
  };
  static constexpr size_t kLongestPacket = 65535;

  // Creates the interface; it goes away with its last queue. Fails when the name is taken, without
  // CAP_NET_ADMIN, and without /dev/net/tun; what the kernel does not know of the offloads is left off.
  // Others than this user may attach no queue of theirs.
  [[nodiscard]] static Result<TunDevice, Error> create(const TunOptions& options);
  // A further queue of the same interface (multi_queue). The kernel gives each flow to one queue, and follows
  // the flow to the queue that its answers are written to.
  [[nodiscard]] Result<TunDevice, Error> open_queue() const;

  // Takes a descriptor that carries packets as a queue does (with vnet headers, if `features` says so).
  [[nodiscard]] static TunDevice adopt(UniqueFd fd, const TunOptions& options,
                                       const Features& features) noexcept;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::string& name() const noexcept { return options_.name; }
  [[nodiscard]] unsigned index() const noexcept { return index_; }
  // False once the interface was removed; one that was moved to another network namespace is there.
  [[nodiscard]] bool is_there() const noexcept;
  [[nodiscard]] const Features& features() const noexcept { return features_; }

  // The result of a read or a write: a length, or the errno.
  struct Outcome {
    size_t bytes = 0;
    int error_number = 0;  // EAGAIN: nothing there; EBADFD: the interface is gone
  };
  // Reads one packet or super-packet into `buffer` (kLongestPacket bytes). Never blocks.
  [[nodiscard]] Outcome read(offload::VnetHeader& header, MutableBytes buffer) noexcept;
  // Writes one packet or super-packet made of at most 64 slices. Never blocks. An EINVAL to a super-packet
  // means that this kernel does not take it after all.
  [[nodiscard]] Outcome write(const offload::VnetHeader& header,
                              std::span<const MutableBytes> slices) noexcept;
  // Asks the kernel for plain packets from now on.
  void switch_offload_off() noexcept;

 private:
  TunDevice(UniqueFd fd, TunOptions options, unsigned index, Features features) noexcept;
  [[nodiscard]] static Result<TunDevice, Error> open(const TunOptions& options, int extra_flags);

  UniqueFd fd_;
  TunOptions options_;
  unsigned index_;
  Features features_;
};

}  // namespace vpn::io
