// Initiations, responses and cookie replies at one Node that knows three peers, one of them under a key of
// small order. A reference implementation that is told every key predicts each verdict and every byte the
// Node answers with: a response must be the very one the Noise protocol gives for the Node's random numbers,
// a refused message changes no peer and draws no answer but a cookie reply, and nothing ever leaves towards
// the key of small order.
//
// Inputs are sequences of real messages. The mutator holds the keys: it opens a message, edits its plaintext,
// seals it again and renews mac1 (and mac2, where it knows a cookie), so that edits get behind the MACs and
// the AEAD. MACs are never switched off: an edit that skips them is one more way to be refused.
#include <algorithm>
#include <map>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/recording_random.h"
#include "fuzz/reference_gate.h"
#include "fuzz/reference_noise.h"
#include "vpn/base/check.h"
#include "vpn/core/node.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed);

namespace vpn {
namespace {

using core::Drop;
using fuzz::Bytes12;
using fuzz::Bytes16;
using fuzz::Bytes32;

constexpr size_t kMaxRecords = 24;
constexpr uint32_t kHandshakesPerSecond = 100;
constexpr size_t kFloodMessages = 520;  // one eighth of the queue, and a few
constexpr size_t kPeerCount = 3;
constexpr Duration kErasure = std::chrono::seconds(540);

Bytes32 key(uint8_t number) {
  Bytes32 bytes;
  for (size_t at = 0; at < bytes.size(); ++at) bytes[at] = static_cast<uint8_t>(number * 31 + at);
  return fuzz::clamped(bytes);
}

const Bytes32 kOwnPrivate = key(1);
const Bytes32 kStrangerPrivate = key(9);
// Points of order 4, 1, 2 and 8: their products are zero.
constexpr Bytes32 kLowOrder[] = {
    {},
    {1},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
     0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00}};

core::Endpoint source_of(unsigned choice) {
  const auto port = static_cast<uint16_t>(51820 + (choice >> 2 & 1));
  const IpAddress addresses[] = {IpAddress::ipv4(192, 0, 2, 1), IpAddress::ipv4(192, 0, 2, 2),
                                 *IpAddress::parse("2001:db8::1"), *IpAddress::parse("2001:db8::2")};
  return {UdpAddress{addresses[choice & 3], port, 0}, std::nullopt, 0};
}

// One step of an input: a message to the Node, or something else that happens to it.
enum class Kind : uint8_t { kInitiation, kResponse, kCookieReply, kSend, kWait, kFlood, kConfigure, kRaw };
struct Record {
  Kind kind{};
  uint8_t source = 0;
  uint8_t argument = 0;
  std::vector<uint8_t> message;
};

size_t message_bytes(Kind kind, uint8_t argument) {
  switch (kind) {
    case Kind::kInitiation:
      return 148;
    case Kind::kResponse:
      return 92;
    case Kind::kCookieReply:
      return 64;
    case Kind::kRaw:
      return argument;
    default:
      return 0;
  }
}

std::vector<Record> parse_records(BytesView bytes) {
  fuzz::Input input(bytes);
  std::vector<Record> records;
  while (!input.empty() && records.size() < kMaxRecords) {
    const auto head = input.take<uint8_t>();
    Record record{
        static_cast<Kind>(head & 7), static_cast<uint8_t>(head >> 3 & 7), input.take<uint8_t>(), {}};
    record.message.resize(message_bytes(record.kind, record.argument));
    input.fill(record.message);
    records.push_back(std::move(record));
  }
  return records;
}

std::vector<uint8_t> encode_records(const std::vector<Record>& records) {
  std::vector<uint8_t> bytes;
  for (const Record& record : records) {
    bytes.push_back(
        static_cast<uint8_t>(static_cast<unsigned>(record.kind) | static_cast<unsigned>(record.source) << 3));
    bytes.push_back(record.argument);
    bytes.insert(bytes.end(), record.message.begin(), record.message.end());
  }
  return bytes;
}

// An initiation of the Node's that waits for its response.
struct Pending {
  fuzz::PlainInitiation plain;
  Bytes32 ephemeral{};
};

struct ReferenceSession {
  crypto::Suite suite{};
  uint32_t remote = 0;
  Bytes32 send_key{};
  uint64_t next_counter = 0;
};

struct PeerModel {
  PeerId id;
  std::optional<Bytes32> private_key;  // the peer under a key of small order has none
  Bytes32 public_key{};
  crypto::Suite suite{};
  Bytes32 psk{};
  std::optional<Bytes12> greatest_received;
  Bytes12 greatest_sent{};
  std::optional<Instant> accepted_at;
  std::optional<Pending> pending;
  std::optional<Instant> erase_at;  // when keys and handshakes in progress are forgotten
  std::optional<Bytes16> last_mac1;
  std::optional<Bytes16> cookie;
  Instant cookie_at{};
};

std::vector<uint8_t> inner_packet(uint8_t peer) {
  std::vector<uint8_t> packet(20);
  packet[0] = 0x45;
  packet[3] = 20;
  packet[12] = packet[16] = 10;
  packet[19] = peer;
  return packet;
}

class World {
 public:
  World()
      : node_(fuzz::fresh_aeads(), random_, options(), now_),
        gate_(fuzz::public_of(kOwnPrivate), kHandshakesPerSecond) {
    node_.set_private_key(Secret<32>(kOwnPrivate), now_);
    for (size_t index = 0; index < kPeerCount; ++index) add_peer(index);
  }

  void apply(const Record& record) {
    random_.forget();
    switch (record.kind) {
      case Kind::kInitiation:
      case Kind::kResponse:
      case Kind::kCookieReply:
      case Kind::kRaw:
        receive(record);
        break;
      case Kind::kSend:
        send(record.argument % kPeerCount);
        break;
      case Kind::kWait:
        wait(std::chrono::milliseconds(uint64_t{1} << record.argument % 20));
        break;
      case Kind::kFlood:
        if (!flooded_) flood();
        break;
      case Kind::kConfigure:
        configure(record.argument);
        break;
    }
    check_sent();
  }

  // ── For the mutator ──
  [[nodiscard]] const PeerModel& peer(size_t index) const { return peers_[index % kPeerCount]; }
  [[nodiscard]] std::optional<Bytes16> cookie_for(uint8_t source) const {
    return gate_.peek_cookie(source_of(source).remote);
  }

 private:
  static core::NodeOptions options() {
    core::NodeOptions options;
    options.handshakes_per_second = kHandshakesPerSecond;
    return options;
  }

  void add_peer(size_t index) {
    PeerModel& model = peers_[index];
    if (index < 2) model.private_key = key(static_cast<uint8_t>(2 + index));
    model.public_key = model.private_key ? fuzz::public_of(*model.private_key) : kLowOrder[3];
    model.suite = index == 1 ? crypto::Suite::kAes256Gcm : crypto::Suite::kChaCha20Poly1305;
    model.id = *node_.add_peer(PublicKey{model.public_key}, model.suite, now_);
    if (index == 1) set_psk(model, key(70));
    node_.allow(model.id, IpPrefix{IpAddress::ipv4(10, 0, 0, static_cast<uint8_t>(index)), 32});
    node_.set_endpoint(model.id, source_of(static_cast<unsigned>(index)), now_);
  }
  void set_psk(PeerModel& model, const Bytes32& psk) {
    model.psk = psk;
    node_.set_preshared_key(model.id, Secret<32>(psk));
  }

  void configure(uint8_t argument) {
    PeerModel& model = peers_[argument % kPeerCount];
    if ((argument & 0x10) != 0) {
      set_psk(model, (argument & 0x20) != 0 ? key(70) : Bytes32{});
    } else {
      model.suite = (argument & 0x20) != 0 ? crypto::Suite::kAes256Gcm : crypto::Suite::kChaCha20Poly1305;
      node_.set_suite(model.id, model.suite);
    }
  }

  void wait(Duration duration) {
    const Instant end = now_.monotonic + duration;
    while (true) {
      const auto due = node_.poll_timeout();
      const Instant next = due && *due < end ? std::max(*due, now_.monotonic) : end;
      now_.wall.nanoseconds += static_cast<uint32_t>((next - now_.monotonic).count() % 1'000'000'000);
      now_.wall.seconds +=
          (next - now_.monotonic).count() / 1'000'000'000 + now_.wall.nanoseconds / 1'000'000'000;
      now_.wall.nanoseconds %= 1'000'000'000;
      now_.monotonic = next;
      node_.handle_timeout(now_);
      check_sent();
      if (next == end) return;
    }
  }

  void send(size_t index) {
    const auto packet = inner_packet(static_cast<uint8_t>(index));
    std::vector<uint8_t> out(node_.sealed_bytes(packet.size()));
    const auto sent = node_.send_packet(packet, out, now_);
    if (!peers_[index].private_key) VPN_CHECK(!sent && sent.error() == Drop::kLowOrderKey);
    if (sent && *sent) check_transmit(**sent);
  }

  // Responses to nothing, with a right mac1: they fill the queue and cost little.
  void flood() {
    flooded_ = true;
    std::vector<uint8_t> junk(92);
    junk[0] = 2;
    fuzz::write_macs(junk, fuzz::public_of(kOwnPrivate), std::nullopt);
    for (size_t count = 0; count < kFloodMessages; ++count) {
      random_.forget();
      std::vector<uint8_t> copy = junk;
      const auto delivered = node_.receive_datagram(source_of(0), 0, copy, now_);
      const auto refused = gate_.admit(junk, source_of(0).remote, now_.monotonic, random_);
      VPN_CHECK(!delivered && delivered.error() == refused.value_or(Drop::kUnknownIndex));
      if (refused == Drop::kCookieRequired) expect_cookie_reply(junk, source_of(0));
      check_sent();
    }
  }

  void receive(const Record& record) {
    const core::Endpoint from = source_of(record.source);
    std::vector<uint8_t> message = record.message;
    const auto before = snapshot();
    // The Node goes first, since the reference reads the random numbers it drew.
    const auto delivered = node_.receive_datagram(from, 0, message, now_);
    VPN_CHECK(message == record.message);  // nothing of a handshake is decrypted in place
    std::optional<Drop> verdict;
    if (!delivered) verdict = delivered.error();
    const std::optional<Drop> expected = judge(record.message, from);
    if (expected == Drop::kUnknownIndex && verdict) {
      // A response or cookie reply to what is no pending initiation: which of these it is, depends on
      // sessions.
      VPN_CHECK(verdict == Drop::kUnknownIndex || verdict == Drop::kUnexpectedResponse ||
                verdict == Drop::kWrongIndexKind || verdict == Drop::kUnexpectedCookie ||
                verdict == Drop::kBadCookie);
    } else {
      VPN_CHECK(verdict == expected);
    }
    if (verdict && verdict != Drop::kWrongSuite) VPN_CHECK(snapshot() == before);
    if (delivered) VPN_CHECK(delivered->packet.empty());
  }

  // All that a peer's state shows on the outside.
  struct Shown {
    std::optional<core::Endpoint> endpoint;
    uint64_t received = 0, sent = 0;
    std::vector<uint32_t> indices;
    friend bool operator==(const Shown&, const Shown&) = default;
  };
  std::vector<Shown> snapshot() const {
    std::vector<Shown> all;
    for (const PeerModel& model : peers_) {
      const auto status = *node_.status(model.id, now_.monotonic);
      Shown shown{status.endpoint, status.received_bytes, status.sent_bytes, {}};
      for (const auto& slot : {status.previous, status.current, status.next}) {
        shown.indices.push_back(slot ? slot->local.value : 0);
      }
      all.push_back(std::move(shown));
    }
    return all;
  }

  // ── What the protocol says ──

  std::optional<Drop> judge(BytesView message, const core::Endpoint& from) {
    const uint32_t type = message.size() < 4 ? 0 : load_le<uint32_t>(message.data());
    if (type < 1 || type > 4) return Drop::kUnknownType;
    if (type == 4) return message.size() < 32 ? Drop::kBadLength : Drop::kUnknownIndex;
    if (message.size() != message_bytes(static_cast<Kind>(type - 1), 0)) return Drop::kBadLength;
    if (type == 3) return judge_cookie_reply(message);
    if (const auto refused = gate_.admit(message, from.remote, now_.monotonic, random_)) {
      if (refused == Drop::kCookieRequired) expect_cookie_reply(message, from);
      return refused;
    }
    return type == 1 ? judge_initiation(message, from) : judge_response(message);
  }

  std::optional<Drop> judge_initiation(BytesView message, const core::Endpoint& from) {
    const auto plain = fuzz::open_initiation(kOwnPrivate, message);
    Bytes32 ephemeral;
    copy_bytes(message.subspan(8, 32), ephemeral);
    if (fuzz::is_zero(fuzz::dh(kOwnPrivate, ephemeral))) return Drop::kLowOrderKey;
    if (!plain) return Drop::kHandshakeAuth;
    PeerModel* const model = find(plain->static_key);
    if (model == nullptr) return Drop::kUnknownPeer;
    if (!model->private_key) return Drop::kLowOrderKey;
    if (!plain->timestamp_opened) return Drop::kHandshakeAuth;
    if (model->greatest_received && plain->timestamp <= *model->greatest_received) return Drop::kOldTimestamp;
    if (model->accepted_at && now_.monotonic - *model->accepted_at < std::chrono::milliseconds(20)) {
      return Drop::kInitiationTooSoon;
    }
    model->greatest_received = plain->timestamp;
    model->accepted_at = now_.monotonic;
    if (plain->suite != model->suite) return Drop::kWrongSuite;

    const auto index = random_.take<4>();
    const auto ephemeral_private = random_.take<32>();
    VPN_CHECK(index && ephemeral_private);
    const fuzz::PlainResponse response{load_le<uint32_t>(index->data()), plain->sender, {}};
    auto sealed =
        fuzz::seal_response_as_responder(*plain, response, fuzz::clamped(*ephemeral_private), model->psk);
    fuzz::write_macs(sealed.message, model->public_key, fresh_cookie(*model));
    remember_mac1(*model, sealed.message);
    expected_.push_back({from, std::move(sealed.message)});
    sessions_.push_back({plain->suite, plain->sender, sealed.keys.responder_sends, 0});
    model->erase_at = now_.monotonic + kErasure;
    return std::nullopt;
  }

  std::optional<Drop> judge_response(BytesView message) {
    const uint32_t receiver = load_le<uint32_t>(message.data() + 8);
    PeerModel* const model = find_pending(receiver);
    if (model == nullptr) return Drop::kUnknownIndex;
    fuzz::PlainResponse plain{load_le<uint32_t>(message.data() + 4), receiver, {}};
    copy_bytes(message.subspan(12, 32), plain.ephemeral);
    const Pending& pending = *model->pending;
    if (fuzz::is_zero(fuzz::dh(pending.ephemeral, plain.ephemeral))) return Drop::kLowOrderKey;
    const auto sealed =
        fuzz::seal_response_as_initiator(pending.plain, plain, pending.ephemeral, kOwnPrivate, model->psk);
    if (!std::equal(message.begin(), message.end() - 32, sealed.message.begin())) return Drop::kHandshakeAuth;
    sessions_.push_back({pending.plain.suite, plain.sender, sealed.keys.initiator_sends, 0});
    model->pending.reset();
    model->erase_at = now_.monotonic + kErasure;
    return std::nullopt;
  }

  std::optional<Drop> judge_cookie_reply(BytesView message) {
    PeerModel* model = find_pending(load_le<uint32_t>(message.data() + 4));
    if (model == nullptr) model = find_session_owner(load_le<uint32_t>(message.data() + 4));
    if (model == nullptr) return Drop::kUnknownIndex;
    if (!model->last_mac1) return Drop::kUnexpectedCookie;
    const auto cookie = fuzz::open_cookie_reply(model->public_key, *model->last_mac1, message);
    if (!cookie) return Drop::kBadCookie;
    model->cookie = cookie;
    model->cookie_at = now_.monotonic;
    model->last_mac1.reset();
    return std::nullopt;
  }

  void expect_cookie_reply(BytesView message, const core::Endpoint& from) {
    const Bytes16 cookie = gate_.cookie_for(from.remote, now_.monotonic, random_);
    expected_cookie_ = ExpectedCookie{
        from, load_le<uint32_t>(message.data() + 4), {message.end() - 32, message.end() - 16}, cookie};
  }

  // ── What the Node sent ──

  void check_sent() {
    while (const auto transmit = node_.poll_transmit(now_)) check_transmit(*transmit);
    VPN_CHECK(expected_.empty() && !expected_cookie_);
    while (const auto event = node_.poll_event()) {
      if (event->kind != core::EventKind::kHandshakeGaveUp) continue;
      PeerModel& model = *find(event->peer);
      model.pending.reset();
      if (!model.erase_at) model.erase_at = now_.monotonic + kErasure;
    }
    for (PeerModel& model : peers_) {
      if (!model.erase_at || now_.monotonic < *model.erase_at) continue;
      model.erase_at.reset();
      model.pending.reset();
    }
  }

  void check_transmit(const core::Transmit& transmit) {
    switch (load_le<uint32_t>(transmit.datagram.data())) {
      case 1:
        return check_initiation(transmit);
      case 2:
        VPN_CHECK(!expected_.empty());
        VPN_CHECK(transmit.to == expected_.front().to);
        VPN_CHECK(std::equal(transmit.datagram.begin(), transmit.datagram.end(),
                             expected_.front().message.begin(), expected_.front().message.end()));
        expected_.erase(expected_.begin());
        return;
      case 3:
        return check_cookie_reply(transmit);
      default:
        return check_data(transmit);
    }
  }

  void check_initiation(const core::Transmit& transmit) {
    PeerModel* const model = transmit.peer ? find(*transmit.peer) : nullptr;
    VPN_CHECK(model != nullptr && model->private_key);
    const std::vector<uint8_t> message(transmit.datagram.begin(), transmit.datagram.end());
    VPN_CHECK(message.size() == 148);
    const auto plain = fuzz::open_initiation(*model->private_key, message);
    VPN_CHECK(plain && plain->timestamp_opened && plain->suite == model->suite);
    VPN_CHECK(plain->static_key == fuzz::public_of(kOwnPrivate));
    VPN_CHECK(plain->timestamp > model->greatest_sent);
    model->greatest_sent = plain->timestamp;
    const auto ephemeral = random_.take<32>();
    VPN_CHECK(ephemeral && fuzz::public_of(fuzz::clamped(*ephemeral)) == plain->ephemeral);
    auto with_macs = message;
    fuzz::write_macs(with_macs, model->public_key, fresh_cookie(*model));
    VPN_CHECK(with_macs == message);
    remember_mac1(*model, message);
    model->pending = Pending{*plain, fuzz::clamped(*ephemeral)};
  }

  void check_cookie_reply(const core::Transmit& transmit) {
    VPN_CHECK(expected_cookie_ && transmit.to == expected_cookie_->to);
    VPN_CHECK(transmit.datagram.size() == 64);
    VPN_CHECK(load_le<uint32_t>(transmit.datagram.data() + 4) == expected_cookie_->receiver);
    const auto nonce = random_.take<24>();
    VPN_CHECK(nonce && std::equal(nonce->begin(), nonce->end(), transmit.datagram.begin() + 8));
    VPN_CHECK(fuzz::open_cookie_reply(fuzz::public_of(kOwnPrivate), expected_cookie_->mac1,
                                      transmit.datagram) == expected_cookie_->cookie);
    expected_cookie_.reset();
  }

  void check_data(const core::Transmit& transmit) {
    const uint32_t receiver = load_le<uint32_t>(transmit.datagram.data() + 4);
    const uint64_t counter = load_le<uint64_t>(transmit.datagram.data() + 8);
    // The newest first: a hostile peer may give two sessions one index.
    for (auto session = sessions_.rbegin(); session != sessions_.rend(); ++session) {
      if (session->remote != receiver || session->next_counter != counter) continue;
      if (!fuzz::open_data(session->suite, session->send_key, transmit.datagram)) continue;
      session->next_counter = counter + 1;
      return;
    }
    VPN_CHECK(false &&
              "a data message under a key that no handshake agreed on, or with a counter out of turn");
  }

  void remember_mac1(PeerModel& model, BytesView message) {
    model.last_mac1.emplace();
    copy_bytes(message.subspan(message.size() - 32, 16), *model.last_mac1);
  }
  std::optional<Bytes16> fresh_cookie(const PeerModel& model) const {
    const bool fresh = model.cookie && now_.monotonic - model.cookie_at < std::chrono::seconds(115);
    return fresh ? model.cookie : std::nullopt;
  }
  PeerModel* find(const Bytes32& public_key) {
    const auto found = std::find_if(peers_.begin(), peers_.end(),
                                    [&](const PeerModel& model) { return model.public_key == public_key; });
    return found == peers_.end() ? nullptr : &*found;
  }
  PeerModel* find(PeerId id) {
    const auto found =
        std::find_if(peers_.begin(), peers_.end(), [&](const PeerModel& model) { return model.id == id; });
    return found == peers_.end() ? nullptr : &*found;
  }
  PeerModel* find_pending(uint32_t index) {
    const auto found = std::find_if(peers_.begin(), peers_.end(), [&](const PeerModel& model) {
      return model.pending && model.pending->plain.sender == index;
    });
    return found == peers_.end() ? nullptr : &*found;
  }
  PeerModel* find_session_owner(uint32_t index) {
    for (PeerModel& model : peers_) {
      const auto status = *node_.status(model.id, now_.monotonic);
      for (const auto& slot : {status.previous, status.current, status.next}) {
        if (slot && slot->local.value == index) return &model;
      }
    }
    return nullptr;
  }

  struct ExpectedMessage {
    core::Endpoint to;
    std::vector<uint8_t> message;
  };
  struct ExpectedCookie {
    core::Endpoint to;
    uint32_t receiver = 0;
    std::vector<uint8_t> mac1;
    Bytes16 cookie{};
  };

  Now now_{Instant(std::chrono::seconds(1000)), UnixTime{1'700'000'000, 0}};
  fuzz::RecordingRandom random_{7};
  core::Node node_;
  fuzz::ReferenceGate gate_;
  std::array<PeerModel, kPeerCount> peers_;
  std::vector<ReferenceSession> sessions_;
  std::vector<ExpectedMessage> expected_;
  std::optional<ExpectedCookie> expected_cookie_;
  bool flooded_ = false;
};

// ── The mutator ──

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  void mutate(std::vector<Record>& records) {
    if (records.empty() || (records.size() < kMaxRecords && below(4) == 0)) return insert(records);
    const size_t at = below(records.size());
    switch (below(8)) {
      case 0:
        records.erase(records.begin() + static_cast<std::ptrdiff_t>(at));
        return;
      case 1:
        if (records.size() < kMaxRecords)
          records.insert(records.begin() + static_cast<std::ptrdiff_t>(at), records[at]);
        return;
      case 2:
        std::swap(records[at], records[below(records.size())]);
        return;
      case 3:
        records[at].source = static_cast<uint8_t>(below(8));
        records[at].argument = byte();
        records[at].message.resize(message_bytes(records[at].kind, records[at].argument));
        return;
      case 4:
        if (!records[at].message.empty()) flip(records[at].message);
        return;
      default:
        return edit(records, at);
    }
  }

 private:
  uint8_t byte() {
    std::array<uint8_t, 1> out;
    random_.fill(out);
    return out[0];
  }
  size_t below(size_t bound) {
    std::array<uint8_t, 4> out;
    random_.fill(out);
    random_.forget();
    return load_le<uint32_t>(out.data()) % bound;
  }
  Bytes32 random_key() {
    Bytes32 out;
    random_.fill(out);
    return out;
  }
  void flip(std::vector<uint8_t>& bytes) {
    uint8_t& changed = bytes[below(bytes.size())];
    changed = static_cast<uint8_t>(changed ^ 1 << below(8));
  }

  void insert(std::vector<Record>& records) {
    Record record{static_cast<Kind>(below(8)), static_cast<uint8_t>(below(8)), byte(), {}};
    record.message.resize(message_bytes(record.kind, record.argument));
    const size_t at = below(records.size() + 1);
    records.insert(records.begin() + static_cast<std::ptrdiff_t>(at), record);
    edit(records, at);
  }

  // Runs what comes before the message, to know what its receiver will know, and writes it anew.
  void edit(std::vector<Record>& records, size_t at) {
    Record& record = records[at];
    if (record.kind > Kind::kCookieReply) {
      record.argument = byte();
      record.message.resize(message_bytes(record.kind, record.argument));
      if (!record.message.empty()) flip(record.message);
      return;
    }
    World world;
    for (size_t before = 0; before < at; ++before) world.apply(records[before]);
    const PeerModel& peer = world.peer(below(kPeerCount));
    if (record.kind == Kind::kInitiation) {
      record.message = edited_initiation(record.message, peer);
    } else if (record.kind == Kind::kResponse) {
      record.message = edited_response(record.message, peer);
    } else {
      record.message = edited_cookie_reply(peer);
    }
    if (record.kind != Kind::kCookieReply) {
      std::optional<Bytes16> cookie;
      if (below(2) == 0)
        cookie = world.cookie_for(static_cast<uint8_t>(below(8) == 0 ? below(8) : record.source));
      fuzz::write_macs(record.message, fuzz::public_of(kOwnPrivate), cookie);
    }
    if (below(16) == 0) flip(record.message);
  }

  Bytes32 some_public_key(const PeerModel& peer) {
    switch (below(6)) {
      case 0:
        return kLowOrder[below(std::size(kLowOrder))];
      case 1:
        return fuzz::public_of(kStrangerPrivate);
      case 2:
        return fuzz::public_of(kOwnPrivate);
      default:
        return peer.public_key;
    }
  }
  Bytes32 some_ephemeral() {
    return below(8) == 0 ? kLowOrder[below(std::size(kLowOrder))]
                         : fuzz::public_of(key(static_cast<uint8_t>(below(64))));
  }

  std::vector<uint8_t> edited_initiation(BytesView message, const PeerModel& peer) {
    auto plain = fuzz::open_initiation(kOwnPrivate, message);
    const bool from_nothing = !plain;
    if (!plain) plain.emplace();
    if (from_nothing || below(4) == 0) plain->ephemeral = some_ephemeral();
    if (from_nothing || below(4) == 0) plain->static_key = some_public_key(peer);
    if (from_nothing || below(4) == 0) plain->sender = static_cast<uint32_t>(below(8));
    if (from_nothing || below(4) == 0) plain->suite = below(8) == 0 ? crypto::Suite::kAes256Gcm : peer.suite;
    if (from_nothing || below(2) == 0) {
      // Around the greatest stamp so far: equal, one less, one more, far away.
      plain->timestamp = peer.greatest_received.value_or(Bytes12{0x40});
      uint8_t& changed = plain->timestamp[below(2) == 0 ? 11 : below(12)];
      changed = static_cast<uint8_t>(changed + below(3) - 1);
    }
    return fuzz::seal_initiation(kOwnPrivate, *plain);
  }

  std::vector<uint8_t> edited_response(BytesView message, const PeerModel& peer) {
    fuzz::PlainResponse plain{
        load_le<uint32_t>(message.data() + 4), load_le<uint32_t>(message.data() + 8), {}};
    copy_bytes(message.subspan(12, 32), plain.ephemeral);
    if (fuzz::is_zero(plain.ephemeral) || below(2) == 0) plain.ephemeral = some_ephemeral();
    if (below(4) == 0) plain.sender = static_cast<uint32_t>(below(8));
    if (!peer.pending) return {message.begin(), message.end()};
    if (below(8) != 0) plain.receiver = peer.pending->plain.sender;
    const Bytes32 psk = below(8) == 0 ? random_key() : peer.psk;
    return fuzz::seal_response_as_initiator(peer.pending->plain, plain, peer.pending->ephemeral, kOwnPrivate,
                                            psk)
        .message;
  }

  std::vector<uint8_t> edited_cookie_reply(const PeerModel& peer) {
    const uint32_t receiver = peer.pending ? peer.pending->plain.sender : static_cast<uint32_t>(below(8));
    const Bytes16 mac1 = peer.last_mac1.value_or(Bytes16{});
    std::array<uint8_t, 24> nonce{byte()};
    const Bytes32 sender = below(8) == 0 ? fuzz::public_of(kStrangerPrivate) : peer.public_key;
    return fuzz::seal_cookie_reply(sender, receiver, nonce, mac1, Bytes16{byte(), 1});
  }

  fuzz::RecordingRandom random_;
};

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  World world;
  for (const Record& record : parse_records({data, size})) world.apply(record);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  using namespace vpn;
  if (seed % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  auto records = parse_records({data, size});
  Mutator mutator(seed);
  mutator.mutate(records);
  const std::vector<uint8_t> bytes = encode_records(records);
  if (bytes.empty() || bytes.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  copy_bytes(bytes, {data, max_size});
  return bytes.size();
}
