#include "vpn/sim/adversary.h"

#include <algorithm>

#include "vpn/base/endian.h"
#include "vpn/crypto/blake2s.h"

namespace vpn::sim {
namespace {

constexpr size_t kMaxRecorded = 256;
constexpr size_t kInitiationBytes = 148;
constexpr size_t kMacsBytes = 32;

const UdpAddress& elsewhere() {
  static const UdpAddress address{IpAddress::ipv4(203, 0, 113, 66), 666, 0};
  return address;
}

BytesView label(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

Adversary::Adversary(World& world) : world_(world) {
  world_.add_observer(*this);
}

Adversary::~Adversary() {
  world_.remove_observer(*this);
}

void Adversary::on_transmit(const TransmitSeen& seen) {
  for (uint32_t i = 0; i < world_.node_count(); ++i) {
    if (world_.public_address(NodeId{i}) != seen.to) continue;
    const auto source = world_.public_address(seen.node);
    recorded_.push_back(
        {NodeId{i}, source.value_or(elsewhere()), {seen.datagram.begin(), seen.datagram.end()}});
    if (recorded_.size() > kMaxRecorded) recorded_.pop_front();
    return;
  }
}

const Adversary::Recorded* Adversary::pick(uint64_t draw) const {
  return recorded_.empty() ? nullptr : &recorded_[draw % recorded_.size()];
}

NodeId Adversary::any_node(uint64_t draw) const {
  return NodeId{static_cast<uint32_t>(draw % world_.node_count())};
}

void Adversary::replay(uint64_t draw) {
  const Recorded* const seen = pick(draw);
  if (seen == nullptr) return;
  // A datagram that never arrived is authentic from wherever it comes, and the receiver follows it: so
  // WireGuard roams. If the hub is misled, its spokes still know where it is; were the spokes misled too,
  // both would be lost for good.
  const bool from_elsewhere = seen->to == NodeId{0} && (draw >> 60) % 2 == 0;
  world_.inject(seen->to, from_elsewhere ? elsewhere() : seen->source, seen->bytes);
}

void Adversary::alter(uint64_t draw) {
  const Recorded* const seen = pick(draw);
  if (seen == nullptr) return;
  std::vector<uint8_t> bytes = seen->bytes;
  corrupt_bytes(static_cast<uint32_t>(draw >> 32), bytes);
  world_.inject(seen->to, seen->source, bytes);
}

void Adversary::truncate(uint64_t draw) {
  const Recorded* const seen = pick(draw);
  if (seen == nullptr) return;
  world_.inject(seen->to, seen->source, BytesView(seen->bytes).first((draw >> 32) % seen->bytes.size()));
}

void Adversary::extend(uint64_t draw) {
  const Recorded* const seen = pick(draw);
  if (seen == nullptr) return;
  std::vector<uint8_t> bytes = seen->bytes;
  bytes.resize(bytes.size() + 1 + (draw >> 32) % 64);
  world_.inject(seen->to, seen->source, bytes);
}

void Adversary::splice(uint64_t draw) {
  const Recorded* const head = pick(draw);
  const Recorded* const tail = pick(draw >> 20);
  if (head == nullptr || head->bytes == tail->bytes) return;
  std::vector<uint8_t> bytes = tail->bytes;
  const size_t count = 1 + (draw >> 40) % (std::min(head->bytes.size(), bytes.size()) - 1);
  copy_bytes(BytesView(head->bytes).first(count), bytes);
  world_.inject(head->to, head->source, bytes);
}

void Adversary::misdirect(uint64_t draw) {
  const Recorded* const seen = pick(draw);
  if (seen == nullptr) return;
  const NodeId to = any_node(draw >> 32);
  if (to != seen->to) world_.inject(to, seen->source, seen->bytes);
}

void Adversary::garbage(uint64_t draw) {
  std::vector<uint8_t> bytes((draw >> 8) % 200);
  SeededRandom(draw, "garbage").fill(bytes);
  if (bytes.size() >= 4 && draw % 4 != 0)
    store_le<uint32_t>(bytes.data(), static_cast<uint32_t>((draw >> 4) % 6));
  world_.inject(any_node(draw >> 32), elsewhere(), bytes);
}

void Adversary::flood(uint64_t draw, size_t count) {
  const NodeId to = any_node(draw);
  const crypto::Hash mac1_key = crypto::blake2s({label("mac1----"), world_.public_key(to).bytes});
  SeededRandom random(draw, "flood");
  std::vector<uint8_t> bytes(kInitiationBytes);
  for (size_t i = 0; i < count; ++i) {
    random.fill(bytes);
    store_le<uint32_t>(bytes.data(), 1);
    const BytesView body = BytesView(bytes).first(kInitiationBytes - kMacsBytes);
    copy_bytes(crypto::blake2s_mac16(mac1_key, {body}), MutableBytes(bytes).subspan(body.size()));
    UdpAddress from = elsewhere();
    from.port = static_cast<uint16_t>(random.between(1, 65'535));
    world_.inject(to, from, bytes);
  }
}

}  // namespace vpn::sim
