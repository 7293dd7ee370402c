#include "vpn/offload/coalescer.h"

#include <algorithm>
#include <cstring>

#include "vpn/base/check.h"
#include "vpn/base/endian.h"
#include "vpn/offload/checksum.h"

namespace vpn::offload {
namespace {

constexpr size_t kLongestPacket = 65535;
constexpr size_t kFlowsLookedAt = 16;  // how far back a flow's newest packet is looked for

BytesView transport_of(const InnerPacket& inner, BytesView packet) noexcept {
  return packet.subspan(inner.ip_header_bytes, inner.transport_bytes);
}

bool equal(BytesView a, BytesView b) noexcept {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

// Never 0. Equal for packets of one flow.
uint64_t flow_hash(const InnerPacket& inner, BytesView packet) noexcept {
  uint64_t hash = inner.protocol;
  const auto mix = [&hash](uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 29;
  };
  const BytesView addresses = inner.addresses(packet);
  for (size_t at = 0; at < addresses.size(); at += 8) mix(load_be<uint64_t>(&addresses[at]));
  mix(load_be<uint32_t>(&packet[inner.ip_header_bytes]));
  return hash | 1;
}

bool same_flow(const InnerPacket& a, BytesView a_packet, const InnerPacket& b, BytesView b_packet) noexcept {
  return a.ipv4 == b.ipv4 && a.protocol == b.protocol &&
         equal(a.addresses(a_packet), b.addresses(b_packet)) &&
         equal(transport_of(a, a_packet).first(4), transport_of(b, b_packet).first(4));
}

bool checksums_are_valid(const InnerPacket& inner, BytesView packet) noexcept {
  if (inner.ipv4 && fold_sum(add_to_sum(PartialSum{0}, packet.first(inner.ip_header_bytes))) != 0xffff) {
    return false;
  }
  const size_t transport_bytes = inner.total_bytes - inner.ip_header_bytes;
  PartialSum sum = pseudo_header_sum(inner.addresses(packet), inner.protocol, transport_bytes);
  sum = add_to_sum(sum, packet.subspan(inner.ip_header_bytes, transport_bytes));
  return fold_sum(sum) == 0xffff;
}

// Traffic class, TTL, DF (and for IPv6 the flow label) of packet number `position` of a run beginning with
// `first`.
bool same_ip_fields(const InnerPacket& inner, BytesView first, BytesView packet, uint16_t position) noexcept {
  if (!inner.ipv4) return equal(first.first(4), packet.first(4)) && first[7] == packet[7];
  constexpr uint16_t kDontFragment = 0x4000;
  const uint16_t flags = load_be<uint16_t>(&packet[6]);
  const bool atomic = (flags & kDontFragment) != 0;  // RFC 6864: the identification means nothing then
  const auto expected_id = static_cast<uint16_t>(load_be<uint16_t>(&first[4]) + position);
  return first[1] == packet[1] && first[8] == packet[8] && load_be<uint16_t>(&first[6]) == flags &&
         (atomic || load_be<uint16_t>(&packet[4]) == expected_id);
}

// Acknowledgement, reserved bits, window and options.
bool same_tcp_fields(BytesView first, BytesView tcp) noexcept {
  return first.size() == tcp.size() && equal(first.subspan(8, 4), tcp.subspan(8, 4)) &&
         first[12] == tcp[12] && equal(first.subspan(14, 2), tcp.subspan(14, 2)) &&
         equal(first.subspan(20), tcp.subspan(20));
}

}  // namespace

Coalescer::Coalescer(const Options& options)
    : options_(options), slices_(kMaxPackets), groups_(kMaxPackets) {}

void Coalescer::add(MutableBytes packet) noexcept {
  VPN_CHECK(!is_full());
  const auto inner = options_.tcp || options_.udp ? parse_inner_packet(packet) : std::nullopt;
  if (!inner || inner->total_bytes != packet.size()) return begin_group(nullptr, 0, false, packet);
  const uint64_t flow = flow_hash(*inner, packet);
  Group* const newest = newest_of_flow(flow, *inner, packet);
  const bool joinable = may_join(*inner, packet);
  if (newest != nullptr && joinable && continues(*newest, *inner, packet)) {
    const uint16_t slice = add_slice(packet.subspan(inner->header_bytes()));
    slices_[newest->last_slice].next = slice;
    newest->last_slice = slice;
    newest->packet_count++;
    newest->payload_bytes += inner->payload_bytes();
    const bool pushed = inner->protocol == kProtocolTcp && (transport_of(*inner, packet)[13] & kTcpPush) != 0;
    if (pushed) slices_[newest->first_slice].bytes[inner->ip_header_bytes + 13] |= kTcpPush;
    newest->open = !pushed && inner->payload_bytes() == newest->segment_bytes &&
                   newest->packet_count < kMaxSuperSegments;
    return;
  }
  if (newest != nullptr) newest->open = false;
  const bool pushed =
      joinable && inner->protocol == kProtocolTcp && (transport_of(*inner, packet)[13] & kTcpPush) != 0;
  begin_group(&*inner, flow, joinable && !pushed, packet);
}

// Whether a packet may be part of a super-packet at all.
bool Coalescer::may_join(const InnerPacket& inner, BytesView packet) const noexcept {
  if (inner.payload_bytes() == 0 || (inner.ipv4 && inner.ip_header_bytes != 20)) return false;
  const BytesView transport = transport_of(inner, packet);
  if (inner.protocol == kProtocolTcp) {
    if (!options_.tcp || (transport[13] & ~kTcpPush) != kTcpAck) return false;
  } else {
    const bool no_checksum = load_be<uint16_t>(&transport[6]) == 0;
    if (!options_.udp || no_checksum ||
        load_be<uint16_t>(&transport[4]) != inner.total_bytes - inner.ip_header_bytes) {
      return false;
    }
  }
  return checksums_are_valid(inner, packet);
}

Coalescer::Group* Coalescer::newest_of_flow(uint64_t flow, const InnerPacket& inner,
                                            BytesView packet) noexcept {
  const size_t stop = group_count_ > kFlowsLookedAt ? group_count_ - kFlowsLookedAt : 0;
  for (size_t index = group_count_; index > stop; --index) {
    Group& group = groups_[index - 1];
    if (group.flow == flow && same_flow(group.inner, slices_[group.first_slice].bytes, inner, packet))
      return &group;
  }
  return nullptr;
}

bool Coalescer::continues(const Group& group, const InnerPacket& inner, BytesView packet) const noexcept {
  const BytesView first = slices_[group.first_slice].bytes;
  const size_t payload = inner.payload_bytes();
  if (!group.open || payload > group.segment_bytes || inner.header_bytes() != group.inner.header_bytes())
    return false;
  if (group.inner.header_bytes() + group.payload_bytes + payload > kLongestPacket) return false;
  if (!same_ip_fields(inner, first, packet, group.packet_count)) return false;
  if (inner.protocol == kProtocolUdp) return true;
  const BytesView first_tcp = transport_of(group.inner, first);
  const BytesView tcp = transport_of(inner, packet);
  const auto expected_sequence =
      static_cast<uint32_t>(load_be<uint32_t>(&first_tcp[4]) + group.payload_bytes);
  return load_be<uint32_t>(&tcp[4]) == expected_sequence && same_tcp_fields(first_tcp, tcp);
}

void Coalescer::begin_group(const InnerPacket* inner, uint64_t flow, bool open,
                            MutableBytes packet) noexcept {
  Group& group = groups_[group_count_++];
  group = Group{};
  group.first_slice = group.last_slice = add_slice(packet);
  group.packet_count = 1;
  if (inner == nullptr) return;
  group.inner = *inner;
  group.flow = flow;
  group.open = open;
  group.payload_bytes = inner->payload_bytes();
  group.segment_bytes = static_cast<uint16_t>(inner->payload_bytes());
}

uint16_t Coalescer::add_slice(MutableBytes bytes) noexcept {
  slices_[slice_count_] = {bytes, kNone};
  return static_cast<uint16_t>(slice_count_++);
}

// The vnet header of a group; a group of several gets the lengths and the open checksum of a super-packet.
VnetHeader Coalescer::finish(const Group& group) noexcept {
  if (group.packet_count == 1) return {};
  const InnerPacket& inner = group.inner;
  const MutableBytes headers = slices_[group.first_slice].bytes;
  const size_t total = inner.header_bytes() + group.payload_bytes;
  const size_t transport_bytes = total - inner.ip_header_bytes;
  if (inner.ipv4) {
    store_be<uint16_t>(&headers[2], static_cast<uint16_t>(total));
    store_be<uint16_t>(&headers[10], 0);
    store_be<uint16_t>(&headers[10],
                       checksum_of(add_to_sum(PartialSum{0}, headers.first(inner.ip_header_bytes))));
  } else {
    store_be<uint16_t>(&headers[4], static_cast<uint16_t>(transport_bytes));
  }
  uint8_t* const transport = &headers[inner.ip_header_bytes];
  const bool tcp = inner.protocol == kProtocolTcp;
  if (!tcp) store_be<uint16_t>(transport + 4, static_cast<uint16_t>(transport_bytes));
  const PartialSum pseudo = pseudo_header_sum(inner.addresses(headers), inner.protocol, transport_bytes);
  store_be<uint16_t>(transport + inner.checksum_offset(), fold_sum(pseudo));

  VnetHeader header;
  header.needs_checksum = true;
  header.gso = !tcp ? GsoKind::kUdp : inner.ipv4 ? GsoKind::kTcpIpv4 : GsoKind::kTcpIpv6;
  header.header_bytes = static_cast<uint16_t>(inner.header_bytes());
  header.segment_bytes = group.segment_bytes;
  header.checksum_start = inner.ip_header_bytes;
  header.checksum_offset = static_cast<uint16_t>(inner.checksum_offset());
  return header;
}

}  // namespace vpn::offload
