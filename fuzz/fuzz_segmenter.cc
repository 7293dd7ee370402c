// TSO and USO in software: a super-packet with its virtio header is cut as a slow reference cuts it. Every
// segment is judged byte for byte: the payload is conserved, lengths, identification, sequence number and
// flags follow on, checksums are right by RFC 1071 summed word by word, and a UDP checksum is never 0. The
// segments joined by the coalescer and cut again are the same segments.
// Headers that do not describe what the packet is are refused; decoding and encoding the virtio header
// conserve it. Also completes the checksum of packets that are no super-packets, and compares the fast sum
// with the slow one at every alignment.
#include <algorithm>
#include <vector>

#include "fuzz/input.h"
#include "vpn/base/check.h"
#include "vpn/offload/checksum.h"
#include "vpn/offload/coalescer.h"
#include "vpn/offload/segmenter.h"

namespace vpn {
namespace {

using offload::GsoKind;
using offload::Segmenter;
using offload::VnetHeader;
using Bytes = std::vector<uint8_t>;

constexpr size_t kMaxSegments = 200;

uint16_t word(BytesView bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}
void put_word(Bytes& bytes, size_t at, uint16_t value) {
  store_be(bytes.data() + at, value);
}

uint16_t slow_sum(BytesView bytes, uint32_t sum = 0) {
  for (size_t at = 0; at < bytes.size(); ++at) {
    sum += at % 2 == 0 ? static_cast<uint32_t>(bytes[at] << 8) : bytes[at];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(sum);
}

// What a packet is, read as naively as can be; empty where it is nothing that can be cut.
struct Shape {
  bool ipv4 = false;
  bool tcp = false;
  size_t ip = 0;       // bytes of the IP header
  size_t headers = 0;  // and of the transport's with it
};
std::optional<Shape> shape_of(BytesView packet) {
  if (packet.size() < 20) return std::nullopt;
  Shape shape;
  uint8_t protocol = 0;
  if (packet[0] >> 4 == 4) {
    shape.ipv4 = true;
    shape.ip = (packet[0] & 15u) * 4u;
    protocol = packet[9];
    if (shape.ip < 20 || (word(packet, 6) & 0x3fff) != 0) return std::nullopt;
  } else if (packet[0] >> 4 == 6 && packet.size() >= 40) {
    shape.ip = 40;
    protocol = packet[6];
  } else {
    return std::nullopt;
  }
  shape.tcp = protocol == 6;
  if (protocol != 6 && protocol != 17) return std::nullopt;
  if (shape.tcp && packet.size() < shape.ip + 20) return std::nullopt;
  const size_t transport = shape.tcp ? (packet[shape.ip + 12] >> 4) * 4u : 8u;
  shape.headers = shape.ip + transport;
  if ((shape.tcp && transport < 20) || packet.size() < shape.headers) return std::nullopt;
  return shape;
}

bool describes(GsoKind kind, const Shape& shape) {
  if (kind == GsoKind::kTcpIpv4) return shape.tcp && shape.ipv4;
  if (kind == GsoKind::kTcpIpv6) return shape.tcp && !shape.ipv4;
  return kind == GsoKind::kUdp && !shape.tcp;
}

uint32_t pseudo_sum(const Bytes& packet, const Shape& shape) {
  const BytesView addresses = BytesView(packet).subspan(shape.ipv4 ? 12 : 8, shape.ipv4 ? 8 : 32);
  return uint32_t{slow_sum(addresses)} + (shape.tcp ? 6 : 17) +
         static_cast<uint32_t>(packet.size() - shape.ip);
}

Bytes expected_segment(BytesView packet, const Shape& shape, size_t step, size_t index, bool last) {
  Bytes out(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(shape.headers));
  const BytesView payload = packet.subspan(shape.headers);
  const BytesView part = payload.subspan(index * step, std::min(step, payload.size() - index * step));
  out.insert(out.end(), part.begin(), part.end());
  if (shape.ipv4) {
    put_word(out, 2, static_cast<uint16_t>(out.size()));
    put_word(out, 4, static_cast<uint16_t>(word(packet, 4) + index));
    put_word(out, 10, 0);
    put_word(out, 10, static_cast<uint16_t>(~slow_sum(BytesView(out).first(shape.ip))));
  } else {
    put_word(out, 4, static_cast<uint16_t>(out.size() - 40));
  }
  const size_t field = shape.ip + (shape.tcp ? 16 : 6);
  if (shape.tcp) {
    const uint32_t sequence = load_be<uint32_t>(&packet[shape.ip + 4]) + static_cast<uint32_t>(index * step);
    store_be(&out[shape.ip + 4], sequence);
    uint8_t& flags = out[shape.ip + 13];
    if (!last) flags &= 0xf6;      // FIN and PSH belong to the end
    if (index > 0) flags &= 0x7f;  // CWR to the beginning
  } else {
    put_word(out, shape.ip + 4, static_cast<uint16_t>(out.size() - shape.ip));
  }
  put_word(out, field, 0);
  auto checksum = static_cast<uint16_t>(~slow_sum(BytesView(out).subspan(shape.ip), pseudo_sum(out, shape)));
  if (!shape.tcp && checksum == 0) checksum = 0xffff;
  put_word(out, field, checksum);
  return out;
}

// Cut, joined, cut again: whatever was joined.
void check_round_trip(const std::vector<Bytes>& segments) {
  std::vector<Bytes> buffers = segments;
  offload::Coalescer coalescer({.tcp = true, .udp = true});
  for (Bytes& buffer : buffers) coalescer.add(buffer);
  size_t next = 0;
  coalescer.flush([&](const VnetHeader& header, std::span<const MutableBytes> slices) {
    Bytes whole;
    for (const MutableBytes slice : slices) whole.insert(whole.end(), slice.begin(), slice.end());
    if (header.gso == GsoKind::kNone) {
      VPN_CHECK(next < segments.size() && whole == segments[next]);
      ++next;
      return;
    }
    const auto segmenter = Segmenter::create(header, whole);
    VPN_CHECK(segmenter.has_value() && segmenter->segment_count() == slices.size());
    for (size_t index = 0; index < segmenter->segment_count(); ++index, ++next) {
      Bytes out(segmenter->segment_bytes(index));
      segmenter->write_segment(index, out);
      VPN_CHECK(next < segments.size() && out == segments[next]);
    }
  });
  VPN_CHECK(next == segments.size());
}

// Made where their payloads lie, every second one at a time, the segments are the same, and the packet is
// whole again in the end.
void check_placed(const Segmenter& segmenter, BytesView packet, const std::vector<Bytes>& segments) {
  if (!segmenter.can_place()) return;
  Bytes room(packet.begin(), packet.end());
  room.resize(room.size() + Segmenter::kMostPadding, 0xee);
  const Bytes before = room;
  const auto padding_of = [](size_t index) { return index % (Segmenter::kMostPadding + 1); };
  std::vector<Segmenter::Displaced> displaced(segments.size());
  std::vector<MutableBytes> placed(segments.size());
  for (const size_t parity : {size_t{0}, size_t{1}}) {
    for (size_t index = parity; index < segments.size(); index += 2) {
      placed[index] = segmenter.place_segment(index, padding_of(index), room, displaced[index]);
    }
    for (size_t index = parity; index < segments.size(); index += 2) {
      Bytes expected = segments[index];
      expected.resize(expected.size() + padding_of(index), 0);
      VPN_CHECK(std::equal(placed[index].begin(), placed[index].end(), expected.begin(), expected.end()));
    }
    for (size_t index = parity; index < segments.size(); index += 2) {
      segmenter.restore_segment(index, padding_of(index), room, displaced[index]);
    }
    VPN_CHECK(room == before);
  }
}

void check_segments(const VnetHeader& header, BytesView packet) {
  const auto segmenter = Segmenter::create(header, packet);
  const auto shape = shape_of(packet);
  const bool sound = shape && header.segment_bytes != 0 && describes(header.gso, *shape);
  VPN_CHECK(segmenter.has_value() == sound);
  if (!sound) return;
  const size_t payload = packet.size() - shape->headers;
  const size_t step = header.segment_bytes;
  const size_t count = payload == 0 ? 1 : (payload + step - 1) / step;
  VPN_CHECK(segmenter->segment_count() == count);
  VPN_CHECK(segmenter->total_bytes() == payload + count * shape->headers);
  std::vector<Bytes> segments;
  for (size_t index = 0; index < std::min(count, kMaxSegments); ++index) {
    const Bytes expected = expected_segment(packet, *shape, step, index, index + 1 == count);
    VPN_CHECK(segmenter->segment_bytes(index) == expected.size());
    Bytes out(expected.size(), 0xee);
    segmenter->write_segment(index, out);
    VPN_CHECK(out == expected);
    segments.push_back(std::move(out));
  }
  check_placed(*segmenter, packet, segments);
  check_round_trip(segments);
}

void check_completion(const VnetHeader& header, BytesView packet) {
  Bytes completed(packet.begin(), packet.end());
  const bool done = offload::complete_checksum(header, completed);
  const size_t start = header.checksum_start;
  const size_t field = start + header.checksum_offset;
  const bool fits = start < packet.size() && field + 2 <= packet.size();
  VPN_CHECK(done == (!header.needs_checksum || fits));
  if (!header.needs_checksum || !fits) {
    VPN_CHECK(std::equal(completed.begin(), completed.end(), packet.begin()));
    return;
  }
  auto checksum = static_cast<uint16_t>(~slow_sum(packet.subspan(start)));
  if (header.checksum_offset == 6 && checksum == 0) checksum = 0xffff;
  VPN_CHECK(word(completed, field) == checksum);
  store_be(completed.data() + field, word(packet, field));
  VPN_CHECK(std::equal(completed.begin(), completed.end(), packet.begin()));
}

void check_sums(BytesView bytes) {
  for (size_t skip = 0; skip < std::min<size_t>(bytes.size(), 9); ++skip) {
    const BytesView part = bytes.subspan(skip);
    VPN_CHECK(offload::fold_sum(offload::add_to_sum(offload::PartialSum{0x1234}, part)) ==
              slow_sum(part, 0x1234));
  }
}

}  // namespace
}  // namespace vpn

// Ten bytes of virtio header, two of which repeat (how often the payload is said again, for long packets),
// the packet.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  fuzz::Input input({data, size});
  std::array<uint8_t, VnetHeader::kBytes> raw;
  input.fill(raw);
  const auto longer = input.take<uint16_t>();
  Bytes packet(input.rest().begin(), input.rest().end());
  if (!packet.empty() && (longer & 1) != 0) packet.resize(packet.size() + longer % 4096, packet.back());

  const auto header = VnetHeader::decode(raw);
  const uint8_t kind = raw[1] & 0x7f;
  VPN_CHECK(header.has_value() == (kind == 0 || kind == 1 || kind == 4 || kind == 5));
  check_sums(packet);
  if (!header) return 0;
  std::array<uint8_t, VnetHeader::kBytes> encoded;
  header->encode(encoded);
  VPN_CHECK(VnetHeader::decode(encoded) == header);
  VPN_CHECK(std::equal(encoded.begin() + 2, encoded.end(), raw.begin() + 2));
  check_segments(*header, packet);
  check_completion(*header, packet);
  return 0;
}
