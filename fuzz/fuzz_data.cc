// Data messages at a Node with two peers: sealed under the session's real keys around hostile inner packets,
// replayed, reordered, cut, changed, under foreign and unknown indices, from new addresses, near the last
// counter and the end of the session. A naive model predicts the verdict on each, in the order of the
// protocol's checks; what is delivered is the inner packet, cut to its own length, whose longest-prefix owner
// is the sender; nothing around the datagram is touched, nothing of it where it was refused unopened, and no
// plaintext is left of a forgery.
#include <algorithm>
#include <set>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/recording_random.h"
#include "fuzz/reference_noise.h"
#include "vpn/base/check.h"
#include "vpn/core/node.h"

namespace vpn {
namespace {

using core::Drop;
using fuzz::Bytes32;

constexpr size_t kMaxSteps = 64;
constexpr uint64_t kFirstRejectedCounter = 0xffffffffffffdfffULL;
constexpr uint64_t kReach = 8128;
constexpr Duration kSessionLife = std::chrono::seconds(180);

Bytes32 key(uint8_t number) {
  Bytes32 bytes;
  for (size_t at = 0; at < bytes.size(); ++at) bytes[at] = static_cast<uint8_t>(number * 29 + at);
  return fuzz::clamped(bytes);
}

core::Endpoint source_of(unsigned choice) {
  return {UdpAddress{IpAddress::ipv4(192, 0, 2, static_cast<uint8_t>(choice)), 51820, 0}, std::nullopt, 0};
}

struct AllowedIp {
  IpPrefix prefix;
  size_t peer;
};
// A prefix within a prefix within a prefix, of alternating owners.
const std::vector<AllowedIp>& allowed_ips() {
  static const auto& table = *new std::vector<AllowedIp>{
      {*IpPrefix::parse("10.0.0.0/8"), 0},  {*IpPrefix::parse("10.1.0.0/16"), 1},
      {*IpPrefix::parse("10.1.2.0/24"), 0}, {*IpPrefix::parse("10.1.2.3/32"), 1},
      {*IpPrefix::parse("0.0.0.0/1"), 1},   {*IpPrefix::parse("fd00::/8"), 1},
      {*IpPrefix::parse("fd00:1::/32"), 0}, {*IpPrefix::parse("fd00:1::7/128"), 1}};
  return table;
}
std::optional<size_t> owner_of(const IpAddress& address) {
  const AllowedIp* best = nullptr;
  for (const AllowedIp& entry : allowed_ips()) {
    if (!entry.prefix.contains(address)) continue;
    if (best == nullptr || entry.prefix.length > best->prefix.length) best = &entry;
  }
  return best == nullptr ? std::nullopt : std::optional(best->peer);
}

struct Peer {
  PeerId id;
  crypto::Suite suite{};
  Bytes32 key{};       // that it sends with
  uint32_t index = 0;  // that the Node receives under
  std::set<uint64_t> seen;
};

// The inner packet's length, source and verdict by RFC 791 and RFC 8200.
struct Inner {
  std::optional<Drop> drop;
  size_t length = 0;
  std::optional<IpAddress> source = std::nullopt;
};
Inner read_inner(BytesView plain) {
  const unsigned version = plain[0] >> 4;
  if (version != 4 && version != 6) return {Drop::kInnerNotIp};
  const size_t least = version == 4 ? 20 : 40;
  if (plain.size() < least) return {Drop::kInnerLength};
  const size_t header = version == 4 ? (plain[0] & 15u) * 4u : 40;
  const size_t length = version == 4 ? load_be<uint16_t>(&plain[2]) : 40u + load_be<uint16_t>(&plain[4]);
  if (header < least || length < header || length > plain.size()) return {Drop::kInnerLength};
  if (version == 4) return {std::nullopt, length, IpAddress::ipv4(fixed_view<4>(plain, 12))};
  return {std::nullopt, length, IpAddress::ipv6(fixed_view<16>(plain, 8))};
}

class World {
 public:
  World() : node_(fuzz::fresh_aeads(), random_, {}, now_) {
    node_.set_private_key(Secret<32>(key(1)), now_);
    for (size_t index = 0; index < peers_.size(); ++index) connect(index);
    for (const AllowedIp& entry : allowed_ips()) node_.allow(peers_[entry.peer].id, entry.prefix);
  }

  void step(fuzz::Input& input) {
    const auto shape = input.take<uint8_t>();
    const auto twist = input.take<uint8_t>();
    if ((shape & 7) == 7) {
      pass(std::chrono::milliseconds(uint64_t{1} << (shape >> 3) % 18));
      return;
    }
    const size_t sender = shape >> 3 & 1;
    const auto ecn = static_cast<uint8_t>(shape >> 4 & 3);
    const uint64_t counter = take_counter(input, shape >> 6, peers_[sender]);
    const std::vector<uint8_t> plain = take_plain(input, shape & 7);
    receive(sender, counter, plain, twist, ecn);
  }

 private:
  // A handshake that the peer began: its keys come from the reference.
  void connect(size_t number) {
    Peer& peer = peers_[number];
    peer.suite = number == 0 ? crypto::Suite::kChaCha20Poly1305 : crypto::Suite::kAes256Gcm;
    const Bytes32 private_key = key(static_cast<uint8_t>(2 + number));
    peer.id = *node_.add_peer(PublicKey{fuzz::public_of(private_key)}, peer.suite, now_);
    fuzz::PlainInitiation initiation;
    initiation.suite = peer.suite;
    initiation.sender = static_cast<uint32_t>(100 + number);
    initiation.ephemeral = fuzz::public_of(key(static_cast<uint8_t>(12 + number)));
    initiation.static_key = fuzz::public_of(private_key);
    initiation.timestamp = {0x40, 0, 0, 0, 1};
    auto message = fuzz::seal_initiation(key(1), initiation);
    fuzz::write_macs(message, fuzz::public_of(key(1)), std::nullopt);
    random_.forget();
    VPN_CHECK(node_.receive_datagram(source_of(0), 0, message, now_).has_value());
    const auto index = random_.take<4>();
    const auto ephemeral = random_.take<32>();
    VPN_CHECK(index && ephemeral);
    peer.index = load_le<uint32_t>(index->data());
    peer.key = fuzz::seal_response_as_responder(initiation, {peer.index, initiation.sender, {}},
                                                fuzz::clamped(*ephemeral), {})
                   .keys.initiator_sends;
    drain();
  }

  void pass(Duration duration) {
    now_.monotonic += duration;
    node_.handle_timeout(now_);
    drain();
  }

  void drain() {
    while (node_.poll_transmit(now_)) {
    }
    while (node_.poll_event()) {
    }
  }

  uint64_t take_counter(fuzz::Input& input, unsigned kind, const Peer& peer) const {
    const uint64_t greatest = peer.seen.empty() ? 0 : *peer.seen.rbegin();
    const auto byte = input.take<uint8_t>();
    if (kind == 0) return greatest + 1 + byte % 4u;
    if (kind == 1) return greatest - byte % 16u;
    if (kind == 2) return byte % 2 == 0 ? greatest - kReach - 8 + byte / 2 % 16u : input.take<uint64_t>();
    return byte % 2 == 0 ? kFirstRejectedCounter - 8 + byte / 2 % 16u : greatest + input.take<uint16_t>();
  }

  // Raw bytes, or the headers of IPv4 and IPv6 with a source, a length and padding that the input chooses.
  static std::vector<uint8_t> take_plain(fuzz::Input& input, unsigned kind) {
    if (kind == 0) return {};
    if (kind == 1) {
      const BytesView raw = input.bytes(input.take<uint8_t>());
      return {raw.begin(), raw.end()};
    }
    const bool ipv4 = kind % 2 == 0;
    const size_t header = ipv4 ? 20 : 40;
    std::vector<uint8_t> packet(header + input.take<uint8_t>(), 0xa5);
    std::fill(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(header), uint8_t{0});
    packet[0] = ipv4 ? 0x45 : 0x60;
    packet[1] = input.take<uint8_t>();
    const auto length =
        static_cast<uint16_t>(packet.size() - (ipv4 ? 0 : header) - input.take<uint8_t>() % 18u + 2u);
    store_be(&packet[ipv4 ? 2 : 4], length);
    const auto& entry = allowed_ips()[input.take<uint8_t>() % allowed_ips().size()];
    copy_bytes(entry.prefix.address.bytes().first(ipv4 ? 4 : entry.prefix.address.bytes().size()),
               MutableBytes(packet).subspan(ipv4 ? 12 : 8));
    packet[ipv4 ? 15 : 23] = static_cast<uint8_t>(packet[ipv4 ? 15 : 23] ^ input.take<uint8_t>());
    return packet;
  }

  void receive(size_t sender, uint64_t counter, const std::vector<uint8_t>& plain, uint8_t twist,
               uint8_t ecn) {
    Peer& peer = peers_[sender];
    auto message = fuzz::seal_data(peer.suite, peer.key, peer.index, counter, plain);
    const std::optional<Drop> expected = judge(sender, counter, twist_message(message, twist, sender));

    constexpr size_t kGuard = 16;
    std::vector<uint8_t> buffer(message.size() + 2 * kGuard, 0x77);
    const MutableBytes datagram = MutableBytes(buffer).subspan(kGuard, message.size());
    copy_bytes(message, datagram);
    const auto before = *node_.status(peer.id, now_.monotonic);
    const core::Endpoint from = source_of(twist >> 4);
    // An unharmed message may also take the workers' way, where decryption lies between two calls.
    const bool by_worker = (twist & 15) >= 12;
    const auto delivered = by_worker ? receive_as_worker(from, ecn, datagram)
                                     : node_.receive_datagram(from, ecn, datagram, now_);
    const auto after = *node_.status(peer.id, now_.monotonic);
    drain();
    for (size_t at = 0; at < kGuard; ++at) {
      VPN_CHECK(buffer[at] == 0x77 && buffer[buffer.size() - 1 - at] == 0x77);
    }

    if (expected) {
      VPN_CHECK(!delivered && delivered.error() == *expected);
      VPN_CHECK(after.endpoint == before.endpoint && after.received_bytes == before.received_bytes);
      const bool opened = *expected == Drop::kDataAuth;
      if (!opened && !by_worker) VPN_CHECK(std::equal(message.begin(), message.end(), datagram.begin()));
      if (opened) VPN_CHECK(!shows(datagram.subspan(16), plain));
      return;
    }
    // Authentic from here on: it counts, and it roams, whatever it carries.
    peer.seen.insert(counter);
    VPN_CHECK(after.endpoint == from);
    VPN_CHECK(after.received_bytes == before.received_bytes + message.size());
    VPN_CHECK(after.current && after.current->local.value == peer.index && !after.next);
    if (plain.empty()) {
      VPN_CHECK(delivered && delivered->packet.empty());
      return;
    }
    Inner inner = read_inner(plain);
    if (!inner.drop && owner_of(*inner.source) != sender) inner.drop = Drop::kSourceNotAllowed;
    VPN_CHECK(delivered.has_value() == !inner.drop);
    if (inner.drop) {
      VPN_CHECK(delivered.error() == *inner.drop);
      return;
    }
    VPN_CHECK(delivered->peer == peer.id);
    VPN_CHECK(delivered->packet.data() == datagram.data() + 16 && delivered->packet.size() == inner.length);
    // Beyond the ECN field and the checksum (which ip_packet's target looks at) it is what was sealed.
    for (size_t at = 0; at < inner.length; ++at) {
      const bool may_differ = at == 1 || (plain[0] >> 4 == 4 && (at == 10 || at == 11));
      VPN_CHECK(may_differ || delivered->packet[at] == plain[at]);
    }
  }

  // Whether the plaintext stands there. Of one that is short or all zeros that cannot be said.
  static bool shows(BytesView bytes, BytesView plain) {
    return plain.size() >= 16 && !fuzz::is_zero(plain) && plain.size() <= bytes.size() &&
           std::equal(plain.begin(), plain.end(), bytes.begin());
  }

  Result<core::Delivery, Drop> receive_as_worker(const core::Endpoint& from, uint8_t ecn,
                                                 MutableBytes datagram) {
    const auto session = node_.find_receiver(SessionIndex{load_le<uint32_t>(datagram.data() + 4)}, now_);
    if (!session) return fail(session.error());
    const uint64_t counter = load_le<uint64_t>(datagram.data() + 8);
    const auto plain = (*session)->open(aeads_.of((*session)->suite()), counter, datagram);
    VPN_CHECK(plain.has_value());
    return node_.commit_inbound(**session, counter, from, ecn, *plain, datagram.size(), now_);
  }

  // What harm was done to a sealed message.
  struct Harm {
    std::optional<Drop> at_once;  // it does not even name a session
    size_t named = 0;             // whose session it names
    bool broken = false;          // the tag cannot verify
  };
  Harm twist_message(std::vector<uint8_t>& message, uint8_t twist, size_t sender) const {
    switch (twist & 15) {
      case 1:
        store_le(message.data() + 4, ~peers_[sender].index);
        return {Drop::kUnknownIndex};
      case 2:
        message[16 + twist % (message.size() - 16)] ^= 0x40;
        return {std::nullopt, sender, true};
      case 3:
        message.pop_back();
        return {message.size() < 32 ? std::optional(Drop::kBadLength) : std::nullopt, sender, true};
      case 4:  // the other peer's session: another key, another suite
        store_le(message.data() + 4, peers_[1 - sender].index);
        return {std::nullopt, 1 - sender, true};
      case 5:
        message.push_back(0);
        return {std::nullopt, sender, true};
      case 6:
        message.resize(twist >> 4);
        return {message.size() < 4 ? Drop::kUnknownType : Drop::kBadLength};
      default:
        return {std::nullopt, sender, false};
    }
  }

  // The verdict on a data message up to its tag, in the protocol's order.
  [[nodiscard]] std::optional<Drop> judge(size_t sender, uint64_t counter, const Harm& harm) const {
    if (harm.at_once) return harm.at_once;
    const Duration age = now_.monotonic - established_;
    if (age >= 3 * kSessionLife) return Drop::kUnknownIndex;  // the keys are erased
    if (age >= kSessionLife) return Drop::kSessionExpired;
    if (counter >= kFirstRejectedCounter) return Drop::kCounterLimit;
    const std::set<uint64_t>& seen = peers_[harm.named].seen;
    const uint64_t greatest = seen.empty() ? 0 : *seen.rbegin();
    if (seen.count(counter) != 0 || (counter < greatest && greatest - counter > kReach))
      return Drop::kReplayed;
    if (harm.broken || harm.named != sender) return Drop::kDataAuth;
    return std::nullopt;
  }

  Now now_{Instant(std::chrono::seconds(1000)), UnixTime{1'700'000'000, 0}};
  const Instant established_ = now_.monotonic;
  fuzz::RecordingRandom random_{11};
  crypto::AeadSet aeads_ = fuzz::fresh_aeads();  // the worker's own
  core::Node node_;
  std::array<Peer, 2> peers_;
};

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  fuzz::Input input({data, size});
  World world;
  for (size_t step = 0; step < kMaxSteps && !input.empty(); ++step) world.step(input);
  return 0;
}
