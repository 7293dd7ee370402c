#include "vpn/offload/test_packets.h"

#include "vpn/base/endian.h"

namespace vpn::offload::testing {
namespace {

size_t ip_header_bytes(BytesView packet) {
  return packet[0] >> 4 == 4 ? (packet[0] & 15u) * 4 : 40;
}
uint8_t protocol_of(BytesView packet) {
  return packet[0] >> 4 == 4 ? packet[9] : packet[6];
}

// The pseudo header followed by the transport's bytes.
Packet summed_bytes(BytesView packet) {
  const bool ipv4 = packet[0] >> 4 == 4;
  const size_t header = ip_header_bytes(packet);
  const BytesView addresses = ipv4 ? packet.subspan(12, 8) : packet.subspan(8, 32);
  Packet bytes(addresses.begin(), addresses.end());
  const auto length = static_cast<uint32_t>(packet.size() - header);
  for (const int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<uint8_t>(length >> shift));
  bytes.insert(bytes.end(), {0, 0, 0, protocol_of(packet)});
  bytes.insert(bytes.end(), packet.begin() + static_cast<std::ptrdiff_t>(header), packet.end());
  return bytes;
}

}  // namespace

uint16_t reference_sum(BytesView bytes) {
  uint32_t sum = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    sum += at % 2 == 0 ? static_cast<uint32_t>(bytes[at] << 8) : bytes[at];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(sum);
}

bool checksums_are_right(BytesView packet) {
  const bool header_right =
      packet[0] >> 4 == 6 || reference_sum(packet.first(ip_header_bytes(packet))) == 0xffff;
  return header_right && reference_sum(summed_bytes(packet)) == 0xffff;
}

Packet make_packet(const PacketSpec& spec) {
  const size_t ip_bytes = spec.ipv4 ? 20 : 40;
  const size_t transport_bytes = spec.tcp ? 20 + spec.tcp_option_bytes : 8;
  Packet packet(ip_bytes + transport_bytes + spec.payload_bytes);
  uint8_t* const ip = packet.data();
  if (spec.ipv4) {
    ip[0] = 0x45;
    ip[1] = spec.traffic_class;
    store_be<uint16_t>(ip + 2, static_cast<uint16_t>(packet.size()));
    store_be<uint16_t>(ip + 4, spec.id);
    ip[6] = spec.dont_fragment ? 0x40 : 0;
    ip[8] = spec.ttl;
    ip[9] = spec.tcp ? 6 : 17;
    const uint8_t addresses[] = {10, 0, 0, spec.host, 10, 0, 0, 1};
    std::memcpy(ip + 12, addresses, sizeof addresses);
    store_be<uint16_t>(ip + 10, static_cast<uint16_t>(~reference_sum({ip, 20})));
  } else {
    ip[0] = static_cast<uint8_t>(0x60 | spec.traffic_class >> 4);
    ip[1] = static_cast<uint8_t>(spec.traffic_class << 4);
    store_be<uint16_t>(ip + 4, static_cast<uint16_t>(packet.size() - 40));
    ip[6] = spec.tcp ? 6 : 17;
    ip[7] = spec.ttl;
    ip[8] = ip[24] = 0xfd;
    ip[23] = spec.host;
    ip[39] = 1;
  }
  uint8_t* const transport = ip + ip_bytes;
  store_be<uint16_t>(transport, spec.source_port);
  store_be<uint16_t>(transport + 2, 80);
  if (spec.tcp) {
    store_be<uint32_t>(transport + 4, spec.sequence);
    store_be<uint32_t>(transport + 8, spec.acknowledgement);
    transport[12] = static_cast<uint8_t>(transport_bytes / 4 << 4);
    transport[13] = spec.flags;
    store_be<uint16_t>(transport + 14, spec.window);
    for (size_t at = 20; at < transport_bytes; ++at) transport[at] = 1;  // no-operation options
  } else {
    store_be<uint16_t>(transport + 4, static_cast<uint16_t>(8 + spec.payload_bytes));
  }
  for (size_t at = 0; at < spec.payload_bytes; ++at) {
    transport[transport_bytes + at] = static_cast<uint8_t>(spec.payload_start + at);
  }
  const auto checksum = static_cast<uint16_t>(~reference_sum(summed_bytes(packet)));
  store_be<uint16_t>(transport + (spec.tcp ? 16 : 6),
                     !spec.tcp && checksum == 0 ? uint16_t{0xffff} : checksum);
  return packet;
}

}  // namespace vpn::offload::testing
