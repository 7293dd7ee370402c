// Packets for the tests of the offloads, and the slow reference checksum they are judged by.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vpn/base/bytes.h"

namespace vpn::offload::testing {

using Packet = std::vector<uint8_t>;

struct PacketSpec {
  bool ipv4 = true;
  bool tcp = true;
  uint8_t host = 2;  // the source's last byte
  uint16_t source_port = 1000;
  uint32_t sequence = 1;
  uint32_t acknowledgement = 7;
  uint16_t window = 500;
  uint8_t flags = 0x10;  // ACK
  uint8_t traffic_class = 0;
  uint8_t ttl = 64;
  uint16_t id = 0;
  bool dont_fragment = true;
  size_t tcp_option_bytes = 12;
  size_t payload_bytes = 100;
  uint8_t payload_start = 0;  // payload bytes count up from here
};

// A packet with right lengths and checksums.
[[nodiscard]] Packet make_packet(const PacketSpec& spec);
// RFC 1071 word by word.
[[nodiscard]] uint16_t reference_sum(BytesView bytes);
// Whether the IP header's (IPv4) and the transport's checksum are right, by the reference.
[[nodiscard]] bool checksums_are_right(BytesView packet);

}  // namespace vpn::offload::testing
