#include "vpn/daemon/inbound.h"

#include <algorithm>
#include <cerrno>

#include "vpn/base/endian.h"
#include "vpn/offload/segmenter.h"
#include "vpn/wire/messages.h"

namespace vpn::daemon {
namespace {

constexpr size_t kBatchesAtOnce = 4;  // then the other descriptors get their turn
constexpr size_t kJobsAtOnce = 64;
constexpr uint32_t kDataType = static_cast<uint32_t>(wire::MessageType::kData);

core::Endpoint to_endpoint(const io::UdpPath& path) noexcept {
  return {path.remote, path.local, path.interface_index};
}

offload::Coalescer::Options coalescer_options(const io::TunDevice& tun) noexcept {
  return {.tcp = tun.features().tso, .udp = tun.features().uso};
}

}  // namespace

Inbound::Inbound(core::Node& node, crypto::AeadSet& aeads, io::TunDevice& tun)
    : node_(node),
      aeads_(aeads),
      tun_(tun),
      coalescer_(coalescer_options(tun)),
      joined_(io::TunDevice::kLongestPacket) {
  jobs_.reserve(kJobsAtOnce);
  openings_.reserve(kJobsAtOnce);
}

bool Inbound::run(io::UdpSocket& socket, Now now) {
  for (size_t count = 0; count < kBatchesAtOnce; ++count) {
    const auto runs = socket.receive_batch();
    for (const io::ReceivedRun& one : runs) take_run(one, now);
    open_pending(now);
    write_out();  // the slices lie in the socket's buffers, which the next batch overwrites
    session_.reset();
    if (runs.size() < io::UdpSocket::kReceiveBatch) return false;
  }
  return true;
}

void Inbound::take_run(const io::ReceivedRun& run, Now now) {
  const core::Endpoint from = to_endpoint(run.path);
  const auto ecn = static_cast<uint8_t>(run.tos & 3);
  if (run.bytes.empty()) return take_datagram(from, ecn, run.bytes, now);
  for (size_t at = 0; at < run.bytes.size(); at += run.segment_bytes) {
    take_datagram(from, ecn, run.bytes.subspan(at, std::min(run.segment_bytes, run.bytes.size() - at)), now);
  }
}

void Inbound::take_datagram(const core::Endpoint& from, uint8_t ecn, MutableBytes datagram, Now now) {
  const bool is_data =
      datagram.size() >= wire::kDataOverheadBytes && load_le<uint32_t>(datagram.data()) == kDataType;
  if (!is_data) {
    open_pending(now);  // a handshake may change what the sessions are
    session_.reset();
    if (const auto delivery = node_.receive_datagram(from, ecn, datagram, now)) deliver(*delivery);
    return;
  }
  if (!follow_session(SessionIndex{load_le<uint32_t>(&datagram[4])}, now)) return;
  const MutableBytes sealed = datagram.subspan(wire::kDataHeaderBytes);
  jobs_.push_back({load_le<uint64_t>(&datagram[8]), sealed, sealed.first(sealed.size() - wire::kTagBytes)});
  openings_.push_back({from, ecn, datagram.size()});
  if (jobs_.size() == kJobsAtOnce) open_pending(now);
}

// Makes session_ the one of this index. False: there is none, and the drop is counted.
bool Inbound::follow_session(SessionIndex index, Now now) {
  if (session_ && session_->local_index() == index) return true;
  open_pending(now);
  auto found = node_.find_receiver(index, now);
  session_ = found ? std::move(*found) : nullptr;
  return session_ != nullptr;
}

void Inbound::open_pending(Now now) {
  if (jobs_.empty()) return;
  aeads_.of(session_->suite()).open_batch(session_->receive_key(), jobs_);
  for (size_t index = 0; index < jobs_.size(); ++index) {
    const crypto::OpenJob& job = jobs_[index];
    const Opening& opening = openings_[index];
    if (!job.authentic) {
      node_.count_drop(core::Drop::kDataAuth);
      continue;
    }
    const auto delivery = node_.commit_inbound(*session_, job.counter, opening.from, opening.ecn, job.plain,
                                               opening.datagram_bytes, now);
    if (delivery) deliver(*delivery);
  }
  jobs_.clear();
  openings_.clear();
}

void Inbound::deliver(const core::Delivery& delivery) {
  if (delivery.packet.empty()) return;
  if (coalescer_.is_full()) write_out();
  coalescer_.add(delivery.packet);
}

void Inbound::write_out() {
  coalescer_.flush([this](const offload::VnetHeader& header, std::span<const MutableBytes> slices) {
    write_packet(header, slices);
  });
}

void Inbound::write_packet(const offload::VnetHeader& header, std::span<const MutableBytes> slices) {
  const auto written = tun_.write(header, slices);
  if (written.error_number == 0) return;
  const bool is_super = header.gso != offload::GsoKind::kNone;
  if (is_super && (written.error_number == EINVAL || written.error_number == EIO)) {
    // EINVAL: this kernel does not take such packets after all. EIO may mean that the interface is down, too.
    if (written.error_number == EINVAL) {
      auto options = coalescer_.options();
      (header.gso == offload::GsoKind::kUdp ? options.udp : options.tcp) = false;
      coalescer_.set_options(options);
    }
    return write_as_segments(header, slices);
  }
  refused_count_ += slices.size();
}

void Inbound::write_as_segments(const offload::VnetHeader& header, std::span<const MutableBytes> slices) {
  size_t length = 0;
  for (const MutableBytes slice : slices) {
    copy_bytes(slice, MutableBytes(joined_).subspan(length));
    length += slice.size();
  }
  const auto segmenter = offload::Segmenter::create(header, BytesView(joined_).first(length));
  if (!segmenter) {
    ++refused_count_;
    return;
  }
  std::vector<uint8_t> segment(segmenter->segment_bytes(0));
  for (size_t index = 0; index < segmenter->segment_count(); ++index) {
    const MutableBytes bytes = MutableBytes(segment).first(segmenter->segment_bytes(index));
    segmenter->write_segment(index, bytes);
    if (tun_.write({}, std::span(&bytes, 1)).error_number != 0) ++refused_count_;
  }
}

}  // namespace vpn::daemon
