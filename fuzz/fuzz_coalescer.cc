// GRO in software: packets of a few flows, joined and handed on. Nothing is lost, invented or reordered
// within a flow: cutting every super-packet again, slowly, gives the packets back byte for byte. And nothing
// is joined that the kernel would not join: for each pair of neighbours in a super-packet the kernel's
// conditions are looked up in the originals. The super-packet's own lengths, segment size, flags and
// half-done checksum are right.
#include <algorithm>
#include <map>
#include <vector>

#include "fuzz/input.h"
#include "vpn/base/check.h"
#include "vpn/offload/coalescer.h"

namespace vpn {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kMaxPackets = 160;
constexpr uint8_t kPush = 0x08;

uint16_t word(BytesView bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}
bool equal(BytesView a, BytesView b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

uint16_t slow_sum(BytesView bytes, uint32_t sum = 0) {
  for (size_t at = 0; at < bytes.size(); ++at) {
    sum += at % 2 == 0 ? static_cast<uint32_t>(bytes[at] << 8) : bytes[at];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(sum);
}

// A packet without IPv4 options or IPv6 extension headers.
struct Parts {
  bool ipv4, tcp;
  size_t ip, headers;
};
Parts parts_of(BytesView packet) {
  const bool ipv4 = packet[0] >> 4 == 4;
  const bool tcp = packet[ipv4 ? 9 : 6] == 6;
  const size_t ip = ipv4 ? 20 : 40;
  return {ipv4, tcp, ip, ip + (tcp ? (packet[ip + 12] >> 4) * 4u : 8u)};
}
uint32_t pseudo_sum(BytesView packet, const Parts& parts) {
  const BytesView addresses = packet.subspan(parts.ipv4 ? 12 : 8, parts.ipv4 ? 8 : 32);
  return uint32_t{slow_sum(addresses)} + (parts.tcp ? 6 : 17) +
         static_cast<uint32_t>(packet.size() - parts.ip);
}
void write_checksums(Bytes& packet) {
  const Parts parts = parts_of(packet);
  if (parts.ipv4) {
    store_be<uint16_t>(&packet[10], 0);
    store_be(&packet[10], static_cast<uint16_t>(~slow_sum(BytesView(packet).first(parts.ip))));
  }
  uint8_t* const field = &packet[parts.ip + (parts.tcp ? 16 : 6)];
  store_be<uint16_t>(field, 0);
  auto sum = static_cast<uint16_t>(~slow_sum(BytesView(packet).subspan(parts.ip), pseudo_sum(packet, parts)));
  if (!parts.tcp && sum == 0) sum = 0xffff;
  store_be(field, sum);
}

// The flows' next packets, so that chance finds ones that may be joined.
class Flows {
 public:
  Bytes next(fuzz::Input& input) {
    const auto choice = input.take<uint8_t>();
    const auto twist = input.take<uint8_t>();
    const unsigned flow = choice & 7;
    const bool ipv4 = (flow & 1) == 0;
    const bool tcp = (flow & 2) == 0;
    const size_t options = tcp ? (flow & 4) * 3u : 0;
    const size_t ip = ipv4 ? 20 : 40;
    const size_t headers = ip + (tcp ? 20 + options : 8);
    const size_t payload = sizes_[choice >> 3 & 3] + ((choice & 0x20) != 0 ? input.take<uint8_t>() : 0u);
    Bytes packet(headers + payload, static_cast<uint8_t>(++count_));
    std::fill(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(headers), uint8_t{0});
    if (ipv4) {
      packet[0] = 0x45;
      store_be(&packet[2], static_cast<uint16_t>(packet.size()));
      store_be(&packet[4], identification_[flow]++);
      packet[6] = (choice & 0x40) != 0 ? 0x40 : 0;
      packet[8] = 64;
      packet[9] = tcp ? 6 : 17;
      packet[12] = packet[16] = 10;
      packet[19] = 1;
    } else {
      packet[0] = 0x60;
      store_be(&packet[4], static_cast<uint16_t>(packet.size() - 40));
      packet[6] = tcp ? 6 : 17;
      packet[7] = 64;
      packet[8] = packet[24] = 0xfd;
      packet[39] = 1;
    }
    uint8_t* const transport = &packet[ip];
    store_be(transport, static_cast<uint16_t>(1000 + flow));
    store_be(transport + 2, uint16_t{443});
    if (tcp) {
      store_be(transport + 4, sequence_[flow]);
      sequence_[flow] += static_cast<uint32_t>(payload);
      transport[12] = static_cast<uint8_t>((20 + options) / 4 << 4);
      transport[13] = (choice & 0x80) != 0 ? 0x18 : 0x10;
      store_be(transport + 14, uint16_t{500});
      std::fill(transport + 20, transport + 20 + options, uint8_t{1});
    } else {
      store_be(transport + 4, static_cast<uint16_t>(8 + payload));
    }
    twist_packet(packet, twist, headers, input);
    return packet;
  }

 private:
  // One header byte changed, with the checksums made right again or not; or nothing.
  static void twist_packet(Bytes& packet, uint8_t twist, size_t headers, fuzz::Input& input) {
    if ((twist & 3) == 0) {
      const size_t at = (twist >> 2) % headers;
      const bool ipv4 = packet[0] >> 4 == 4;
      const bool offset =
          at == (ipv4 ? 32u : 52u) && packet[ipv4 ? 9 : 6] == 6;  // its other half is reserved bits
      packet[at] = static_cast<uint8_t>(packet[at] ^ (input.take<uint8_t>() & (offset ? 0x0f : 0xff)));
      const bool structural = at == 0 || at == (ipv4 ? 9u : 6u);  // where the checksum lies: it stays wrong
      if (!structural) write_checksums(packet);
      return;
    }
    write_checksums(packet);
    if (twist == 1) packet.back() ^= 1;
    if (twist == 2) packet[10] ^= 1;
  }

  static constexpr size_t sizes_[] = {1, 100, 101, 1300};
  std::array<uint32_t, 8> sequence_{0xfffff000, 1, 2, 3, 4, 5, 6, 7};
  std::array<uint16_t, 8> identification_{0xfff0};
  uint32_t count_ = 0;
};

// Whether the kernel's receive offload would take `packet` into a super-packet at all.
bool kernel_takes(BytesView packet) {
  const Parts parts = parts_of(packet);
  if (parts.ipv4 && (packet[0] != 0x45 || (word(packet, 6) & 0x3fff) != 0)) return false;
  if (parts.ipv4 && slow_sum(packet.first(20)) != 0xffff) return false;
  if (parts.ipv4 ? word(packet, 2) != packet.size() : word(packet, 4) + 40u != packet.size()) return false;
  if (packet.size() <= parts.headers) return false;
  const BytesView transport = packet.subspan(parts.ip);
  if (parts.tcp && (transport[13] & ~kPush) != 0x10) return false;
  if (!parts.tcp && (word(transport, 6) == 0 || word(transport, 4) != transport.size())) return false;
  return slow_sum(transport, pseudo_sum(packet, parts)) == 0xffff;
}

// Whether it would put `packet` right behind `before`, the packet number `position` − 1 of its super-packet.
bool kernel_joins(BytesView before, BytesView packet, size_t first_payload) {
  const Parts a = parts_of(before);
  const Parts b = parts_of(packet);
  if (a.ipv4 != b.ipv4 || a.tcp != b.tcp || a.headers != b.headers) return false;
  const size_t payload = packet.size() - b.headers;
  if (before.size() - a.headers != first_payload || payload > first_payload) return false;
  if (a.ipv4) {
    const bool same = before[1] == packet[1] && before[8] == packet[8] &&
                      word(before, 6) == word(packet, 6) &&
                      equal(before.subspan(12, 8), packet.subspan(12, 8));
    const bool atomic = (packet[6] & 0x40) != 0;
    if (!same || (!atomic && word(packet, 4) != static_cast<uint16_t>(word(before, 4) + 1))) return false;
  } else if (!equal(before.first(4), packet.first(4)) ||
             !equal(before.subspan(6, 34), packet.subspan(6, 34))) {
    return false;  // also the flow label, next header and hop limit
  }
  const BytesView at = before.subspan(a.ip, a.headers - a.ip);
  const BytesView bt = packet.subspan(b.ip, b.headers - b.ip);
  if (!equal(at.first(4), bt.first(4))) return false;
  if (!a.tcp) return true;
  if ((at[13] & kPush) != 0) return false;
  return load_be<uint32_t>(&bt[4]) ==
             load_be<uint32_t>(&at[4]) + static_cast<uint32_t>(before.size() - a.headers) &&
         equal(at.subspan(8, 4), bt.subspan(8, 4)) && at[12] == bt[12] &&
         equal(at.subspan(14, 2), bt.subspan(14, 2)) && equal(at.subspan(20), bt.subspan(20));
}

// The flow's key; empty for what is no whole TCP or UDP packet, such as a fragment: the kernel does not keep
// the order of those either.
Bytes flow_of(BytesView packet) {
  const unsigned version = packet[0] >> 4;
  if ((version != 4 && version != 6) || packet.size() < (version == 4 ? 20u : 40u)) return {};
  const bool ipv4 = version == 4;
  const size_t ip = ipv4 ? (packet[0] & 15u) * 4u : 40u;
  const uint8_t protocol = packet[ipv4 ? 9 : 6];
  const size_t length = ipv4 ? word(packet, 2) : word(packet, 4) + 40u;
  if (ip < 20 || length != packet.size() || (ipv4 && (word(packet, 6) & 0x3fff) != 0)) return {};
  if (protocol == 6) {
    if (packet.size() < ip + 20 || packet[ip + 12] >> 4 < 5 ||
        packet.size() < ip + (packet[ip + 12] >> 4) * 4u)
      return {};
  } else if (protocol != 17 || packet.size() < ip + 8) {
    return {};
  }
  const BytesView addresses = ipv4 ? packet.subspan(12, 8) : packet.subspan(8, 32);
  Bytes key(addresses.begin(), addresses.end());
  key.push_back(protocol);
  const BytesView ports = packet.subspan(ip, 4);
  key.insert(key.end(), ports.begin(), ports.end());
  return key;
}

class Judge {
 public:
  explicit Judge(std::vector<Bytes> originals) : originals_(std::move(originals)), used_(originals_.size()) {}

  void packet(const offload::VnetHeader& header, std::span<const MutableBytes> slices) {
    Bytes whole;
    for (const MutableBytes slice : slices) whole.insert(whole.end(), slice.begin(), slice.end());
    if (slices.size() == 1) {
      VPN_CHECK(header == offload::VnetHeader{});
      take([&](const Bytes& original) { return original == whole; });
      return;
    }
    super_packet(header, whole, slices.size());
  }

  void finish() const {
    VPN_CHECK(std::all_of(used_.begin(), used_.end(), [](bool used) { return used; }));
  }

 private:
  void super_packet(const offload::VnetHeader& header, const Bytes& whole, size_t count) {
    const Parts parts = parts_of(whole);
    const size_t step = header.segment_bytes;
    const size_t payload = whole.size() - parts.headers;
    VPN_CHECK(count <= 64 && whole.size() <= 65535 && step != 0 && (payload + step - 1) / step == count);
    VPN_CHECK(header.needs_checksum && header.header_bytes == parts.headers);
    VPN_CHECK(header.checksum_start == parts.ip && header.checksum_offset == (parts.tcp ? 16 : 6));
    VPN_CHECK(header.gso == (!parts.tcp   ? offload::GsoKind::kUdp
                             : parts.ipv4 ? offload::GsoKind::kTcpIpv4
                                          : offload::GsoKind::kTcpIpv6));
    VPN_CHECK(parts.ipv4 ? word(whole, 2) == whole.size() : word(whole, 4) + 40u == whole.size());
    if (parts.ipv4) VPN_CHECK(slow_sum(BytesView(whole).first(20)) == 0xffff);
    if (!parts.tcp) VPN_CHECK(word(whole, parts.ip + 4) == whole.size() - parts.ip);
    const uint16_t partial =
        slow_sum({}, (pseudo_sum(whole, parts) & 0xffff) + (pseudo_sum(whole, parts) >> 16));
    VPN_CHECK(word(whole, header.checksum_start + header.checksum_offset) % 0xffff == partial % 0xffff);

    const Bytes* before = nullptr;
    for (size_t index = 0; index < count; ++index) {
      const size_t begin = parts.headers + index * step;
      const BytesView part = BytesView(whole).subspan(begin, std::min(step, whole.size() - begin));
      const Bytes& original =
          take([&](const Bytes& candidate) { return is_segment(candidate, whole, parts, part); });
      VPN_CHECK(kernel_takes(original));
      if (before != nullptr) VPN_CHECK(kernel_joins(*before, original, step));
      before = &original;
    }
    if (parts.tcp) VPN_CHECK((whole[parts.ip + 13] & kPush) == ((*before)[parts.ip + 13] & kPush));
  }

  // Whether the super-packet's part is cut to `candidate`.
  static bool is_segment(const Bytes& candidate, const Bytes& whole, const Parts& parts, BytesView part) {
    if (candidate.size() != parts.headers + part.size()) return false;
    if (!equal(BytesView(candidate).subspan(parts.headers), part)) return false;
    if (flow_of(candidate) != flow_of(whole)) return false;
    if (!parts.tcp) return true;
    const auto begin =
        static_cast<uint32_t>(part.data() - whole.data() - static_cast<std::ptrdiff_t>(parts.headers));
    const uint32_t sequence = load_be<uint32_t>(&whole[parts.ip + 4]) + begin;
    return load_be<uint32_t>(&candidate[parts.ip + 4]) == sequence;
  }

  // The oldest original not handed on yet that fits; none of its flow before it may still wait.
  template <typename Fits>
  const Bytes& take(Fits fits) {
    for (size_t index = 0; index < originals_.size(); ++index) {
      if (used_[index] || !fits(originals_[index])) continue;
      const Bytes flow = flow_of(originals_[index]);
      for (size_t earlier = 0; earlier < index; ++earlier) {
        VPN_CHECK(used_[earlier] || flow.empty() || flow_of(originals_[earlier]) != flow);
      }
      used_[index] = true;
      return originals_[index];
    }
    VPN_CHECK(false && "a packet came out that never went in, or twice");
    return originals_.front();
  }

  std::vector<Bytes> originals_;
  std::vector<bool> used_;
};

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  fuzz::Input input({data, size});
  const auto options = input.take<uint8_t>();
  Flows flows;
  std::vector<Bytes> packets;
  while (!input.empty() && packets.size() < kMaxPackets) packets.push_back(flows.next(input));
  Judge judge(packets);
  offload::Coalescer coalescer({(options & 1) != 0, (options & 2) != 0});
  for (Bytes& packet : packets) coalescer.add(packet);
  coalescer.flush([&](const offload::VnetHeader& header, std::span<const MutableBytes> slices) {
    VPN_CHECK(slices.size() == 1 || (slices.size() > 1 && (options & 3) != 0));
    judge.packet(header, slices);
  });
  judge.finish();
  return 0;
}
