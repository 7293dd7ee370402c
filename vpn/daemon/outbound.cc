#include "vpn/daemon/outbound.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vpn/wire/ip_packet.h"
#include "vpn/wire/messages.h"

namespace vpn::daemon {
namespace {

constexpr size_t kReadsAtOnce = 64;     // then the other descriptors get their turn
constexpr size_t kSegmentsAtOnce = 64;  // one reservation of counters, one batch for the cipher
// Room for kSegmentsAtOnce datagrams made of one super-packet: its payload, and the headers of each.
constexpr size_t kLongestChunk = io::TunDevice::kLongestPacket + kSegmentsAtOnce * 256;
static_assert(kLongestChunk <= SendQueue::kArenaBytes);

}  // namespace

Outbound::Outbound(SharedNode& node, crypto::AeadSet& aeads, io::TunDevice& tun, SendQueue& queue)
    : node_(node),
      aeads_(aeads),
      tun_(tun),
      queue_(queue),
      read_buffer_(io::TunDevice::kLongestPacket),
      staging_buffer_(2 * (io::TunDevice::kLongestPacket + 64)),
      sealed_bytes_(kSegmentsAtOnce) {
  pending_.reserve(kSegmentsAtOnce);
}

Outbound::Outcome Outbound::run() {
  for (size_t count = 0; count < kReadsAtOnce; ++count) {
    offload::VnetHeader header;
    const auto read = tun_.read(header, read_buffer_);
    if (read.error_number == 0) {
      take(header, MutableBytes(read_buffer_).first(read.bytes));
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

void Outbound::take_super_packet(const offload::Segmenter& segmenter, BytesView packet) {
  for (size_t first = 0; first < segmenter.segment_count(); first += kSegmentsAtOnce) {
    const size_t count = std::min(kSegmentsAtOnce, segmenter.segment_count() - first);
    send(
        packet, count, [&](size_t index) { return segmenter.segment_bytes(first + index); },
        [&](size_t index, MutableBytes out) { segmenter.write_segment(first + index, out); });
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

// Queues `count` packets to the destination in `ip_header`, at most kSegmentsAtOnce and kLongestChunk
// together.
template <typename SizeOf, typename Write>
void Outbound::send(BytesView ip_header, size_t count, SizeOf size_of, Write write) {
  if (!queue_.has_room(count, kLongestChunk)) flush();
  const auto ip = wire::parse_ip_packet(ip_header);
  if (!ip) return stage(count, size_of, write);  // counts each as what it is
  const auto reserved = reserve(*ip, count, size_of);
  if (!reserved) return;
  if (!*reserved) return stage(count, size_of, write);

  const core::Node::SealReservation& reservation = **reserved;
  const bool same_session = pending_session_ == reservation.session;
  if (!same_session || pending_.size() + count > kSegmentsAtOnce) seal_pending();
  pending_session_ = reservation.session;
  for (size_t index = 0; index < count; ++index) {
    const size_t packet_bytes = size_of(index);
    const MutableBytes datagram = queue_.reserve(sealed_bytes_[index]);
    const Counter counter = reservation.first_counter + index;
    wire::encode_data_header(reservation.session->remote_index(), counter,
                             datagram.first<wire::kDataHeaderBytes>());
    const MutableBytes sealed = datagram.subspan(wire::kDataHeaderBytes);
    const MutableBytes plain = sealed.first(sealed.size() - wire::kTagBytes);
    write(index, plain.first(packet_bytes));
    std::memset(plain.data() + packet_bytes, 0, plain.size() - packet_bytes);
    pending_.push_back({counter, plain, sealed});
    queue_.append(reservation.to, ip->ecn, datagram.size());
  }
}

// The way of packets that cannot be sent at once: the node keeps, or drops and counts, each.
template <typename SizeOf, typename Write>
void Outbound::stage(size_t count, SizeOf size_of, Write write) {
  seal_pending();  // a datagram sealed by the node must not overtake
  for (size_t index = 0; index < count; ++index) {
    const size_t bytes = size_of(index);
    const MutableBytes packet = MutableBytes(staging_buffer_).first(bytes);
    write(index, packet);
    const MutableBytes out = MutableBytes(staging_buffer_).subspan(io::TunDevice::kLongestPacket);
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
