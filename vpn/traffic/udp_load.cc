#include "vpn/traffic/udp_load.h"

#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <ctime>
#include <thread>
#include <vector>

#include "vpn/io/udp_address_codec.h"

namespace vpn::traffic {
namespace {

constexpr size_t kBatch = 64;
constexpr double kPaceSeconds = 100e-6;
constexpr int kReceiveBufferBytes = 16 << 20;
constexpr timeval kQuiet{0, 100'000};  // so long after the last packet nothing more is expected

struct Batch {
  explicit Batch(size_t payload_bytes) : memory(kBatch * payload_bytes, 'v') {
    for (size_t index = 0; index < kBatch; ++index) {
      slices[index] = {memory.data() + index * payload_bytes, payload_bytes};
      messages[index].msg_hdr.msg_iov = &slices[index];
      messages[index].msg_hdr.msg_iovlen = 1;
    }
  }
  std::vector<char> memory;
  std::array<iovec, kBatch> slices{};
  std::array<mmsghdr, kBatch> messages{};
};

// Whom each message of the next batch goes to; without receivers the socket is connected.
class Addressing {
 public:
  Addressing(const std::vector<UdpAddress>& receivers, size_t in_a_row)
      : addresses_(receivers.size()), in_a_row_(in_a_row) {
    for (size_t index = 0; index < receivers.size(); ++index) {
      length_ = io::to_sockaddr(receivers[index], addresses_[index]);
    }
  }
  void address(Batch& batch, unsigned count) {
    if (addresses_.empty()) return;
    for (unsigned index = 0; index < count; ++index) {
      batch.messages[index].msg_hdr.msg_name = &addresses_[next_];
      batch.messages[index].msg_hdr.msg_namelen = length_;
      if (++done_ < in_a_row_) continue;
      done_ = 0;
      next_ = next_ + 1 == addresses_.size() ? 0 : next_ + 1;
    }
  }

 private:
  std::vector<sockaddr_storage> addresses_;
  socklen_t length_ = 0;
  size_t in_a_row_;
  size_t next_ = 0;
  size_t done_ = 0;  // of those in a row
};

// Sends at the rate for as long as told; counts what the kernel took, which includes what a full queue on the
// way then drops.
Result<Sent, Error> send_paced(const End& from, int socket, const UdpLoad& load, Addressing addressing) {
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  Batch batch(load.payload_bytes);
  const double rate = load.packets_per_second;
  const auto step = static_cast<uint64_t>(std::clamp(rate * kPaceSeconds, 1.0, double{kBatch}));
  const auto begin = SteadyClock::now();
  uint64_t sent = 0;
  for (auto now = begin; now - begin < load.duration; now = SteadyClock::now()) {
    const auto due = static_cast<uint64_t>(to_seconds(now - begin) * rate);
    if (due < sent + step) {
      const auto pause = static_cast<long>(static_cast<double>(sent + step - due) / rate * 1e9);
      const timespec wait{pause / 1'000'000'000, pause % 1'000'000'000};
      ::nanosleep(&wait, nullptr);
      continue;
    }
    const auto count = static_cast<unsigned>(std::min<uint64_t>(due - sent, kBatch));
    addressing.address(batch, count);
    const int taken = ::sendmmsg(socket, batch.messages.data(), count, MSG_NOSIGNAL);
    if (taken > 0) {
      sent += static_cast<uint64_t>(taken);
    } else if (errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED && errno != EINTR) {
      return fail(system_error(from, "sending UDP"));
    }
  }
  if (sent == 0) return fail(Error{from.address.to_string(), 0, "", "nothing was sent", ""});
  return Sent{sent, to_seconds(SteadyClock::now() - begin)};
}

uint64_t receive_all(int socket, size_t payload_bytes, const std::atomic<bool>& sent_all) {
  Batch batch(payload_bytes);
  uint64_t received = 0;
  for (;;) {
    const int count = ::recvmmsg(socket, batch.messages.data(), kBatch, MSG_WAITFORONE, nullptr);
    if (count > 0) {
      received += static_cast<uint64_t>(count);
    } else if (sent_all.load()) {
      return received;
    }
  }
}

}  // namespace

Result<RateTrial, Error> measure_udp(const End& from, const End& to, const UdpLoad& load) {
  UdpAddress bound;
  auto receiver = open_bound(to, SOCK_DGRAM, 0, bound);
  if (!receiver) return fail(std::move(receiver.error()));
  if (::setsockopt(receiver->get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBufferBytes, sizeof(int)) != 0) {
    ::setsockopt(receiver->get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes, sizeof(int));
  }
  ::setsockopt(receiver->get(), SOL_SOCKET, SO_RCVTIMEO, &kQuiet, sizeof kQuiet);
  auto sender = open_socket(from, SOCK_DGRAM);
  if (!sender) return fail(std::move(sender.error()));
  sockaddr_storage address{};
  const socklen_t length = io::to_sockaddr(bound, address);
  if (::connect(sender->get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    return fail(system_error(from, "connecting to " + bound.to_string()));
  }
  std::atomic<bool> sent_all = false;
  uint64_t received = 0;
  std::thread receiving([&] { received = receive_all(receiver->get(), load.payload_bytes, sent_all); });
  Result<Sent, Error> sent = Sent{};
  std::thread sending([&] { sent = send_paced(from, sender->get(), load, Addressing({}, 1)); });
  sending.join();
  sent_all = true;
  receiving.join();
  if (!sent) return fail(std::move(sent.error()));
  const auto count = static_cast<double>(sent->packets);
  const auto arrived = static_cast<double>(std::min(received, sent->packets));
  return RateTrial{count / sent->seconds, arrived / sent->seconds, 1 - arrived / count};
}

Result<Sent, Error> spray_udp(const End& from, const std::vector<UdpAddress>& receivers, size_t in_a_row,
                              const UdpLoad& load) {
  auto sender = open_socket(from, SOCK_DGRAM);
  if (!sender) return fail(std::move(sender.error()));
  Result<Sent, Error> sent = Sent{};
  std::thread([&] { sent = send_paced(from, sender->get(), load, Addressing(receivers, in_a_row)); }).join();
  return sent;
}

}  // namespace vpn::traffic
