// UdpSocket: datagrams by the batch. One system call carries many of them: recvmmsg and sendmmsg, and within
// each message a run of equal datagrams where the kernel has UDP_GRO and UDP_SEGMENT.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vpn/base/bytes.h"
#include "vpn/base/error.h"
#include "vpn/base/ip_address.h"
#include "vpn/base/result.h"
#include "vpn/io/system_calls.h"
#include "vpn/io/unique_fd.h"

namespace vpn::io {

// From or to where a datagram travels.
struct UdpPath {
  UdpAddress remote;
  std::optional<IpAddress> local;  // our address; unset: the kernel's choice
  uint32_t interface_index = 0;    // where it came in; asked of the kernel only for a link-local `local`
};

// One received message: a run of datagrams of `segment_bytes`, the last of which may be shorter.
struct ReceivedRun {
  UdpPath path;
  uint8_t tos = 0;  // traffic class byte; the low two bits are ECN
  MutableBytes bytes;
  size_t segment_bytes = 0;
};

// One message to send: a run of datagrams of `segment_bytes`, the last of which may be shorter.
struct SendRun {
  UdpPath path;
  uint8_t tos = 0;
  BytesView bytes;
  size_t segment_bytes = 0;
};

// How many datagrams go out for it: one even where it is empty.
[[nodiscard]] inline size_t datagram_count(const SendRun& run) noexcept {
  return run.segment_bytes == 0 ? 1 : (run.bytes.size() + run.segment_bytes - 1) / run.segment_bytes;
}

struct UdpOptions {
  IpFamily family = IpFamily::kIpv4;
  uint16_t port = 0;    // 0: the kernel chooses
  uint32_t fwmark = 0;  // 0: none
  bool offload = true;  // ask for UDP_SEGMENT and UDP_GRO
  SystemCalls* calls = &system_calls();
  bool reuse_port = false;  // joins sockets of this user that share_port() let share their port
  // Datagrams up to this length go in fragments over a link that does not take them; longer ones are refused.
  static constexpr size_t kAnyLength = std::numeric_limits<size_t>::max();
  size_t split_up_to = kAnyLength;
};

// What became of datagrams that were to be sent.
struct SendCounts {
  uint64_t sent = 0;
  uint64_t too_large = 0;    // EMSGSIZE
  uint64_t no_buffer = 0;    // ENOBUFS, ENOMEM, EAGAIN: the queue is full
  uint64_t unreachable = 0;  // ENETUNREACH, EHOSTUNREACH, …
  uint64_t refused = 0;      // EPERM, EACCES: a firewall
  uint64_t other = 0;

  // Adds every count of another socket's.
  SendCounts& operator+=(const SendCounts& more) noexcept {
    sent += more.sent;
    too_large += more.too_large;
    no_buffer += more.no_buffer;
    unreachable += more.unreachable;
    refused += more.refused;
    other += more.other;
    return *this;
  }
};

class UdpSocket {
 public:
  static constexpr size_t kReceiveBatch = 16;        // messages of up to 64 KiB
  static constexpr size_t kMaxSegments = 64;         // datagrams in one sent message, what every kernel takes
  static constexpr size_t kLongestRun = 65507 - 40;  // bytes in one sent message, over IPv6 too

  // EADDRINUSE names the port. EAFNOSUPPORT comes back as an error with `remedy` empty: the host has no such
  // family.
  [[nodiscard]] static Result<UdpSocket, Error> open(const UdpOptions& options);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] uint16_t port() const noexcept { return options_.port; }
  [[nodiscard]] bool segments() const noexcept { return segments_; }
  [[nodiscard]] bool coalesces() const noexcept { return coalesces_; }
  // Marks what is sent from now on (SO_MARK), for rules and firewalls of this host; 0 marks nothing. Takes
  // CAP_NET_ADMIN.
  [[nodiscard]] Result<bool, Error> set_fwmark(uint32_t fwmark) noexcept;
  // Lets further sockets (reuse_port) of this user have the same port. The kernel then gives each remote
  // address and port to one of them, always the same.
  [[nodiscard]] Result<bool, Error> share_port() noexcept;

  // Receives what is there, at most kReceiveBatch messages. The runs are valid until the next call. Empty:
  // nothing there.
  [[nodiscard]] std::span<ReceivedRun> receive_batch() noexcept;
  // Sends the runs in order. Never blocks; what the kernel refuses is counted and not tried again, except
  // that a run refused as a whole (EIO: no segmentation on this device; EINVAL) is sent datagram by datagram,
  // one refused for its source address is sent from the kernel's choice, and one of at most split_up_to
  // bytes that the link does not take goes in fragments.
  void send_batch(std::span<const SendRun> runs) noexcept;
  [[nodiscard]] const SendCounts& counts() const noexcept { return counts_; }
  // Datagrams that the kernel dropped before we read them (SO_RXQ_OVFL).
  [[nodiscard]] uint32_t receive_overflows() const noexcept { return receive_overflows_; }

 private:
  struct ReceiveBuffers;
  struct SendBuffers;

  UdpSocket(UniqueFd fd, UdpOptions options);
  void enable_offload() noexcept;
  void send_refused(const SendRun& run, int error_number) noexcept;
  int send_one(const SendRun& run) noexcept;
  int send_in_fragments(const SendRun& run) noexcept;
  void count_refusal(int error_number, uint64_t datagrams) noexcept;

  UniqueFd fd_;
  UdpOptions options_;
  bool segments_ = false;
  bool coalesces_ = false;
  unsigned refused_runs_ = 0;  // in a row
  SendCounts counts_;
  uint32_t receive_overflows_ = 0;
  std::unique_ptr<ReceiveBuffers, void (*)(ReceiveBuffers*)> receive_;
  std::unique_ptr<SendBuffers, void (*)(SendBuffers*)> send_;
};

}  // namespace vpn::io
