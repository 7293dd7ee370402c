#include "vpn/io/segmentation_check.h"

#include <poll.h>

#include <algorithm>
#include <vector>

#include "vpn/io/udp_socket.h"

namespace vpn::io {
namespace {

constexpr size_t kSegmentBytes = 1452;
constexpr size_t kSegments = 40;
constexpr int kPatienceMs = 100;

// No segment is like another, nor like another moved.
std::vector<uint8_t> pattern() {
  std::vector<uint8_t> bytes(kSegments * kSegmentBytes);
  uint32_t state = 1;
  for (uint8_t& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(state >> 24);
  }
  return bytes;
}

// What came from there until nothing more does, datagram after datagram.
std::vector<std::vector<uint8_t>> received(UdpSocket& socket, const UdpAddress& from) {
  std::vector<std::vector<uint8_t>> datagrams;
  pollfd readable{socket.fd(), POLLIN, 0};
  while (datagrams.size() < kSegments && poll(&readable, 1, kPatienceMs) > 0) {
    for (const ReceivedRun& run : socket.receive_batch()) {
      if (run.path.remote != from) continue;
      for (size_t at = 0; at < run.bytes.size(); at += run.segment_bytes) {
        const BytesView one = run.bytes.subspan(at, std::min(run.segment_bytes, run.bytes.size() - at));
        datagrams.emplace_back(one.begin(), one.end());
      }
    }
  }
  return datagrams;
}

}  // namespace

bool segmentation_keeps_bytes(SystemCalls& calls) {
  const IpAddress loopback = IpAddress::ipv4(127, 0, 0, 1);
  const std::vector<uint8_t> sent = pattern();
  for (const bool coalesce : {false, true}) {
    auto sender = UdpSocket::open({IpFamily::kIpv4, 0, 0, true, &calls});
    auto receiver = UdpSocket::open({IpFamily::kIpv4, 0, 0, coalesce, &calls});
    if (!sender || !receiver || !sender->segments()) return true;
    const SendRun run{{{loopback, receiver->port(), 0}, std::nullopt, 0}, 0, sent, kSegmentBytes};
    sender->send_batch({&run, 1});
    if (sender->counts().sent != kSegments || !sender->segments()) return true;
    const auto came = received(*receiver, {loopback, sender->port(), 0});
    if (came.empty()) return true;
    if (came.size() != kSegments) return false;
    for (size_t index = 0; index < kSegments; ++index) {
      if (!std::ranges::equal(came[index], BytesView(sent).subspan(index * kSegmentBytes, kSegmentBytes)))
        return false;
    }
  }
  return true;
}

}  // namespace vpn::io
