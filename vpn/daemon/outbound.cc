#include "vpn/daemon/outbound.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vpn/core/constants.h"
#include "vpn/wire/ip_packet.h"
#include "vpn/wire/messages.h"

namespace vpn::daemon {
namespace {

constexpr size_t kReadsAtOnce = 64;     // then the other descriptors get their turn
constexpr size_t kSegmentsAtOnce = 64;  // one reservation of counters, one batch for the cipher
// Room for kSegmentsAtOnce datagrams made of one super-packet: its payload, and the headers of each.
constexpr size_t kLongestChunk = io::TunDevice::kLongestPacket + kSegmentsAtOnce * 256;
static_assert(kLongestChunk <= SendQueue::kArenaBytes);
static_assert(core::kPaddingMultiple - 1 <= offload::Segmenter::kMostPadding);

}  // namespace

Outbound::Outbound(SharedNode& node, crypto::AeadSet& aeads, io::TunDevice& tun, SendQueue& queue)
    : node_(node),
      aeads_(aeads),
      tun_(tun),
      queue_(queue),
      read_buffer_(io::TunDevice::kLongestPacket + offload::Segmenter::kMostPadding),
      staging_buffer_(2 * (io::TunDevice::kLongestPacket + 64)),
      sealed_bytes_(kSegmentsAtOnce),
      sealed_(kSegmentsAtOnce),
      displaced_(kSegmentsAtOnce / 2) {
  pending_.reserve(kSegmentsAtOnce);
}

Outbound::Outcome Outbound::run() {
  for (size_t count = 0; count < kReadsAtOnce; ++count) {
    offload::VnetHeader header;
    const auto read = tun_.read(header, read_buffer_.view().first(io::TunDevice::kLongestPacket));
    if (read.error_number == 0) {
      take(header, read_buffer_.view().first(read.bytes));
    } else if (read.error_number == EPROTO) {
      ++malformed_count_;
    } else if (read.error_number != EINTR) {
      flush();
      const bool drained = read.error_number == EAGAIN || read.error_number == EIO;
      return drained ? Outcome::kDrained : Outcome::kInterfaceGone;
    }
  }
  flush();
  return Outcome::kMore;
}

void Outbound::take(const offload::VnetHeader& header, MutableBytes packet) {
  if (header.gso == offload::GsoKind::kNone) {
    if (!offload::complete_checksum(header, packet)) {
      ++malformed_count_;
      return;
    }
    return send(
        packet, 1, [&](size_t) { return packet.size(); },
        [&](size_t, MutableBytes out) { copy_bytes(packet, out); });
  }
  const auto segmenter = offload::Segmenter::create(header, packet);
  if (!segmenter) {
    ++malformed_count_;
    return;
  }
  take_super_packet(*segmenter, packet);
}

void Outbound::take_super_packet(const offload::Segmenter& segmenter, MutableBytes packet) {
  for (size_t first = 0; first < segmenter.segment_count(); first += kSegmentsAtOnce) {
    const size_t count = std::min(kSegmentsAtOnce, segmenter.segment_count() - first);
    const auto size_of = [&](size_t index) { return segmenter.segment_bytes(first + index); };
    const auto write = [&](size_t index, MutableBytes out) { segmenter.write_segment(first + index, out); };
    if (!segmenter.can_place()) {
      send(packet, count, size_of, write);
    } else if (const auto passage = begin(packet, count, size_of, write)) {
      seal_placed(*passage, segmenter, first, count);
    }
  }
}

// Reserves what `count` packets need, and leaves the datagrams' lengths in sealed_bytes_. Empty when the node
// has to look at each.
template <typename SizeOf>
Result<std::optional<core::Node::SealReservation>, core::Drop> Outbound::reserve(const wire::IpPacket& ip,
                                                                                 size_t count,
                                                                                 SizeOf size_of) {
  const auto node = node_.data();
  size_t datagram_bytes = 0;
  bool fits = true;
  for (size_t index = 0; index < count; ++index) {
    sealed_bytes_[index] = node->sealed_bytes(size_of(index));
    datagram_bytes += sealed_bytes_[index];
    fits = fits && sealed_bytes_[index] <= wire::kMaxUdpPayloadBytes &&
           (count > 1 || ip.length == size_of(index));
  }
  if (!fits) return std::optional<core::Node::SealReservation>{};
  auto reserved = node->reserve_outbound(ip.destination, count, datagram_bytes, node.now());
  for (size_t index = 1; !reserved && index < count; ++index) node->count_drop(reserved.error());
  return reserved;
}

// Makes ready what `count` packets to the destination in `ip_header` need, at most kSegmentsAtOnce and
// kLongestChunk together. Empty: they went, or were dropped.
template <typename SizeOf, typename Write>
std::optional<Outbound::Passage> Outbound::begin(BytesView ip_header, size_t count, SizeOf size_of,
                                                 Write write) {
  if (!queue_.has_room(count, kLongestChunk)) flush();
  const auto ip = wire::parse_ip_packet(ip_header);
  if (!ip) {
    stage(count, size_of, write);  // counts each as what it is
    return std::nullopt;
  }
  auto reserved = reserve(*ip, count, size_of);
  if (!reserved) return std::nullopt;
  if (!*reserved) {
    stage(count, size_of, write);
    return std::nullopt;
  }
  if (pending_session_ != (*reserved)->session || pending_.size() + count > kSegmentsAtOnce) seal_pending();
  pending_session_ = (*reserved)->session;
  return Passage{std::move(**reserved), ip->ecn};
}

// Queues datagram `index` of a passage, its header written. The result is where its sealed packet belongs.
MutableBytes Outbound::queue_datagram(const Passage& passage, size_t index) noexcept {
  const MutableBytes datagram = queue_.reserve(sealed_bytes_[index]);
  wire::encode_data_header(passage.reserved.session->remote_index(), passage.reserved.first_counter + index,
                           datagram.first<wire::kDataHeaderBytes>());
  queue_.append(passage.reserved.to, passage.ecn, datagram.size());
  return datagram.subspan(wire::kDataHeaderBytes);
}

// Queues `count` packets, each written to where it is sealed in place.
template <typename SizeOf, typename Write>
void Outbound::send(BytesView ip_header, size_t count, SizeOf size_of, Write write) {
  const auto passage = begin(ip_header, count, size_of, write);
  if (!passage) return;
  for (size_t index = 0; index < count; ++index) {
    const size_t packet_bytes = size_of(index);
    const MutableBytes sealed = queue_datagram(*passage, index);
    const MutableBytes plain = sealed.first(sealed.size() - wire::kTagBytes);
    write(index, plain.first(packet_bytes));
    std::memset(plain.data() + packet_bytes, 0, plain.size() - packet_bytes);
    pending_.push_back({passage->reserved.first_counter + index, plain, sealed});
  }
}

// Queues segments of the packet that was read, each sealed from where its payload lies. Every second one at a
// time, for a segment's headers take the place of the end of the payload before it.
void Outbound::seal_placed(const Passage& passage, const offload::Segmenter& segmenter, size_t first,
                           size_t count) noexcept {
  seal_pending();
  for (size_t index = 0; index < count; ++index) sealed_[index] = queue_datagram(passage, index);
  const auto padding_of = [&](size_t index) {
    return sealed_[index].size() - wire::kTagBytes - segmenter.segment_bytes(first + index);
  };
  for (const size_t parity : {size_t{0}, size_t{1}}) {
    for (size_t index = parity; index < count; index += 2) {
      const MutableBytes plain = segmenter.place_segment(first + index, padding_of(index),
                                                         read_buffer_.view(), displaced_[index / 2]);
      pending_.push_back({passage.reserved.first_counter + index, plain, sealed_[index]});
    }
    seal_pending();
    for (size_t index = parity; index < count; index += 2) {
      segmenter.restore_segment(first + index, padding_of(index), read_buffer_.view(), displaced_[index / 2]);
    }
  }
}

// The way of packets that cannot be sent at once: the node keeps, or drops and counts, each.
template <typename SizeOf, typename Write>
void Outbound::stage(size_t count, SizeOf size_of, Write write) {
  seal_pending();  // a datagram sealed by the node must not overtake
  for (size_t index = 0; index < count; ++index) {
    const size_t bytes = size_of(index);
    const MutableBytes packet = staging_buffer_.view().first(bytes);
    write(index, packet);
    const MutableBytes out = staging_buffer_.view().subspan(io::TunDevice::kLongestPacket);
    const auto node = node_.data();
    const auto sent = node->send_packet(packet, out, node.now());
    if (!sent || !*sent) continue;
    if (!queue_.has_room(1, (*sent)->datagram.size())) flush();
    copy_bytes((*sent)->datagram, queue_.reserve((*sent)->datagram.size()));
    queue_.append((*sent)->to, (*sent)->tos, (*sent)->datagram.size());
  }
}

void Outbound::seal_pending() noexcept {
  if (pending_.empty()) return;
  aeads_.of(pending_session_->suite()).seal_batch(pending_session_->send_key(), pending_);
  pending_.clear();
}

void Outbound::flush() noexcept {
  seal_pending();
  pending_session_.reset();
  queue_.flush();
}

}  // namespace vpn::daemon
