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

Inbound::Inbound(SharedNode& node, crypto::AeadSet& aeads, io::TunDevice& tun)
    : node_(node),
      aeads_(aeads),
      tun_(tun),
      coalescer_(coalescer_options(tun)),
      joined_(io::TunDevice::kLongestPacket) {
  jobs_.reserve(kJobsAtOnce);
  openings_.reserve(kJobsAtOnce);
  packets_.reserve(kJobsAtOnce);
}

bool Inbound::run(io::UdpSocket& socket) {
  for (size_t count = 0; count < kBatchesAtOnce; ++count) {
    const auto runs = socket.receive_batch();
    for (const io::ReceivedRun& one : runs) take_run(one);
    open_pending();
    write_out();  // the slices lie in the socket's buffers, which the next batch overwrites
    session_.reset();
    if (runs.size() < io::UdpSocket::kReceiveBatch) return false;
  }
  return true;
}

void Inbound::take_run(const io::ReceivedRun& run) {
  const core::Endpoint from = to_endpoint(run.path);
  const auto ecn = static_cast<uint8_t>(run.tos & 3);
  if (run.bytes.empty()) return take_datagram(from, ecn, run.bytes);
  for (size_t at = 0; at < run.bytes.size(); at += run.segment_bytes) {
    take_datagram(from, ecn, run.bytes.subspan(at, std::min(run.segment_bytes, run.bytes.size() - at)));
  }
}

void Inbound::take_datagram(const core::Endpoint& from, uint8_t ecn, MutableBytes datagram) {
  const bool is_data =
      datagram.size() >= wire::kDataOverheadBytes && load_le<uint32_t>(datagram.data()) == kDataType;
  if (!is_data) {
    open_pending();  // a handshake may change what the sessions are
    session_.reset();
    const auto control = node_.control();
    const auto taken = control->receive_datagram(from, ecn, datagram, control.now());  // delivers nothing
    if (!taken) node_.want_main_loop();  // which tells of refusals
    return;
  }
  if (!follow_session(SessionIndex{load_le<uint32_t>(&datagram[4])})) return;
  const MutableBytes sealed = datagram.subspan(wire::kDataHeaderBytes);
  jobs_.push_back({load_le<uint64_t>(&datagram[8]), sealed, sealed.first(sealed.size() - wire::kTagBytes)});
  openings_.push_back({from, ecn, datagram.size()});
  if (jobs_.size() == kJobsAtOnce) open_pending();
}

// Makes session_ the one of this index. False: there is none, and the drop is counted.
bool Inbound::follow_session(SessionIndex index) {
  if (session_ && session_->local_index() == index) return true;
  open_pending();
  const auto node = node_.data();
  auto found = node->find_receiver(index, node.now());
  session_ = found ? std::move(*found) : nullptr;
  return session_ != nullptr;
}

void Inbound::open_pending() {
  if (jobs_.empty()) return;
  aeads_.of(session_->suite()).open_batch(session_->receive_key(), jobs_);
  commit_opened();
  for (const MutableBytes packet : packets_) {
    if (coalescer_.is_full()) write_out();
    coalescer_.add(packet);
  }
  jobs_.clear();
  openings_.clear();
  packets_.clear();
}

// Lets the node judge what was opened, all under one lock.
void Inbound::commit_opened() {
  const auto node = node_.data();
  for (size_t index = 0; index < jobs_.size(); ++index) {
    const crypto::OpenJob& job = jobs_[index];
    const Opening& opening = openings_[index];
    if (!job.authentic) {
      node->count_drop(core::Drop::kDataAuth);
      continue;
    }
    const auto delivery = node->commit_inbound(*session_, job.counter, opening.from, opening.ecn, job.plain,
                                               opening.datagram_bytes, node.now());
    if (delivery && !delivery->packet.empty()) packets_.push_back(delivery->packet);
  }
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
    // This kernel does not take such packets after all; unless it takes none, as of an interface that is
    // down.
    if (write_as_segments(header, slices) > 0) {
      auto options = coalescer_.options();
      (header.gso == offload::GsoKind::kUdp ? options.udp : options.tcp) = false;
      coalescer_.set_options(options);
    }
    return;
  }
  refused_count_ += slices.size();
}

// How many of the segments TUN took.
size_t Inbound::write_as_segments(const offload::VnetHeader& header, std::span<const MutableBytes> slices) {
  size_t length = 0;
  for (const MutableBytes slice : slices) {
    copy_bytes(slice, joined_.view().subspan(length));
    length += slice.size();
  }
  const auto segmenter = offload::Segmenter::create(header, joined_.view().first(length));
  if (!segmenter) {
    ++refused_count_;
    return 0;
  }
  size_t taken = 0;
  std::vector<uint8_t> segment(segmenter->segment_bytes(0));
  for (size_t index = 0; index < segmenter->segment_count(); ++index) {
    const MutableBytes bytes = MutableBytes(segment).first(segmenter->segment_bytes(index));
    segmenter->write_segment(index, bytes);
    ++(tun_.write({}, std::span(&bytes, 1)).error_number == 0 ? taken : refused_count_);
  }
  return taken;
}

}  // namespace vpn::daemon
