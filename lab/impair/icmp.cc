#include "lab/impair/icmp.h"

#include <algorithm>

#include "lab/impair/frame.h"
#include "vpn/base/endian.h"

namespace lab {
namespace {

using vpn::BytesView;

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kIcmpBytes = 8;
constexpr size_t kLongestIpv6Answer = 1280;
constexpr uint8_t kProtocolIcmp = 1;
constexpr uint8_t kProtocolIcmpv6 = 58;

uint64_t sum_words(BytesView bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) sum += vpn::load_be<uint16_t>(bytes.data() + i);
  if (bytes.size() % 2 != 0) sum += static_cast<uint64_t>(bytes.back()) << 8;
  return sum;
}

uint16_t checksum(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

void put_ethernet(std::vector<uint8_t>& answer, BytesView frame) {
  answer.insert(answer.end(), frame.begin() + 6, frame.begin() + 12);  // back to the sender
  answer.insert(answer.end(), frame.begin(), frame.begin() + 6);
  answer.insert(answer.end(), frame.begin() + 12, frame.begin() + 14);
}

std::vector<uint8_t> answer_ipv4(BytesView frame, uint32_t mtu_bytes) {
  const BytesView packet = frame.subspan(kEthernetHeaderBytes);
  const size_t header_bytes = size_t{4} * (packet[0] & 0x0F);
  const bool may_fragment = (packet[6] & 0x40) == 0;
  const bool later_fragment = (vpn::load_be<uint16_t>(packet.data() + 6) & 0x1FFF) != 0;
  const bool multicast = packet[16] >= 224;
  const bool icmp_error = packet[9] == kProtocolIcmp && packet.size() > header_bytes &&
                          packet[header_bytes] != 0 && packet[header_bytes] != 8;
  if (may_fragment || later_fragment || multicast || icmp_error) return {};
  const size_t quoted = std::min(packet.size(), header_bytes + 8);

  std::vector<uint8_t> answer;
  put_ethernet(answer, frame);
  answer.resize(kEthernetHeaderBytes + kIpv4Bytes + kIcmpBytes);
  answer.insert(answer.end(), packet.begin(), packet.begin() + static_cast<ptrdiff_t>(quoted));
  uint8_t* const ip = answer.data() + kEthernetHeaderBytes;
  ip[0] = 0x45;
  vpn::store_be<uint16_t>(ip + 2, static_cast<uint16_t>(kIpv4Bytes + kIcmpBytes + quoted));
  ip[8] = 64;
  ip[9] = kProtocolIcmp;
  vpn::copy_bytes(packet.subspan(16, 4), {ip + 12, 4});
  vpn::copy_bytes(packet.subspan(12, 4), {ip + 16, 4});
  vpn::store_be<uint16_t>(ip + 10, checksum(sum_words({ip, kIpv4Bytes})));
  uint8_t* const icmp = ip + kIpv4Bytes;
  icmp[0] = 3;
  icmp[1] = 4;
  vpn::store_be<uint16_t>(icmp + 6, static_cast<uint16_t>(mtu_bytes));
  vpn::store_be<uint16_t>(icmp + 2, checksum(sum_words({icmp, kIcmpBytes + quoted})));
  return answer;
}

std::vector<uint8_t> answer_ipv6(BytesView frame, uint32_t mtu_bytes) {
  const BytesView packet = frame.subspan(kEthernetHeaderBytes);
  const bool multicast = packet[24] == 0xFF;
  const bool icmp_error =
      packet[6] == kProtocolIcmpv6 && packet.size() > kIpv6Bytes && packet[kIpv6Bytes] < 128;
  if (multicast || icmp_error) return {};
  const size_t quoted = std::min(packet.size(), kLongestIpv6Answer - kIpv6Bytes - kIcmpBytes);

  std::vector<uint8_t> answer;
  put_ethernet(answer, frame);
  answer.resize(kEthernetHeaderBytes + kIpv6Bytes + kIcmpBytes);
  answer.insert(answer.end(), packet.begin(), packet.begin() + static_cast<ptrdiff_t>(quoted));
  uint8_t* const ip = answer.data() + kEthernetHeaderBytes;
  ip[0] = 0x60;
  vpn::store_be<uint16_t>(ip + 4, static_cast<uint16_t>(kIcmpBytes + quoted));
  ip[6] = kProtocolIcmpv6;
  ip[7] = 64;
  vpn::copy_bytes(packet.subspan(24, 16), {ip + 8, 16});
  vpn::copy_bytes(packet.subspan(8, 16), {ip + 24, 16});
  uint8_t* const icmp = ip + kIpv6Bytes;
  icmp[0] = 2;
  vpn::store_be<uint32_t>(icmp + 4, mtu_bytes);
  // The pseudo header (RFC 8200, section 8.1): both addresses, the length and the protocol.
  const uint64_t pseudo = sum_words({ip + 8, 32}) + kIcmpBytes + quoted + kProtocolIcmpv6;
  vpn::store_be<uint16_t>(icmp + 2, checksum(pseudo + sum_words({icmp, kIcmpBytes + quoted})));
  return answer;
}

}  // namespace

std::vector<uint8_t> too_big_answer(BytesView frame, uint32_t mtu_bytes) {
  if (frame.size() < kEthernetHeaderBytes + kIpv4Bytes) return {};
  const BytesView packet = frame.subspan(kEthernetHeaderBytes);
  switch (vpn::load_be<uint16_t>(frame.data() + 12)) {
    case 0x0800: {
      const size_t header_bytes = size_t{4} * (packet[0] & 0x0F);
      if (header_bytes < kIpv4Bytes || header_bytes > packet.size()) return {};
      return answer_ipv4(frame, mtu_bytes);
    }
    case 0x86DD:
      return packet.size() < kIpv6Bytes ? std::vector<uint8_t>{} : answer_ipv6(frame, mtu_bytes);
    default:
      return {};
  }
}

std::vector<std::vector<uint8_t>> fragments_of(BytesView frame, uint32_t mtu_bytes) {
  constexpr uint16_t kMoreFragments = 0x2000;
  if (frame.size() < kEthernetHeaderBytes + kIpv4Bytes || vpn::load_be<uint16_t>(frame.data() + 12) != 0x0800)
    return {};
  const BytesView packet = frame.subspan(kEthernetHeaderBytes);
  const size_t packet_bytes = vpn::load_be<uint16_t>(packet.data() + 2);
  const auto flags_and_offset = vpn::load_be<uint16_t>(packet.data() + 6);
  const bool may_fragment = (packet[6] & 0x40) == 0;
  if (packet[0] != 0x45 || !may_fragment || packet_bytes > packet.size() || mtu_bytes < kIpv4Bytes + 8)
    return {};

  const BytesView payload = packet.subspan(kIpv4Bytes, packet_bytes - kIpv4Bytes);
  const size_t step = (mtu_bytes - kIpv4Bytes) & ~size_t{7};  // offsets count in units of eight bytes
  std::vector<std::vector<uint8_t>> fragments;
  for (size_t offset = 0; offset < payload.size(); offset += step) {
    const BytesView part = payload.subspan(offset, std::min(step, payload.size() - offset));
    std::vector<uint8_t> fragment(frame.begin(), frame.begin() + kEthernetHeaderBytes + kIpv4Bytes);
    uint8_t* const ip = fragment.data() + kEthernetHeaderBytes;
    const bool last = offset + part.size() == payload.size();
    vpn::store_be<uint16_t>(ip + 2, static_cast<uint16_t>(kIpv4Bytes + part.size()));
    vpn::store_be<uint16_t>(
        ip + 6, static_cast<uint16_t>((flags_and_offset + offset / 8) | (last ? 0 : kMoreFragments)));
    vpn::store_be<uint16_t>(ip + 10, 0);
    vpn::store_be<uint16_t>(ip + 10, checksum(sum_words({ip, kIpv4Bytes})));
    fragment.insert(fragment.end(), part.begin(), part.end());
    fragments.push_back(std::move(fragment));
  }
  return fragments;
}

}  // namespace lab
