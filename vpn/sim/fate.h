// What happens to a packet on an impaired link: decided by a keyed pseudo-random function of
//
//     (seed, link name, direction, message class, how many of that class were offered before)
//
// and of nothing else. So a stray packet (an ARP request, a keepalive more) shifts nobody else's fate;
// turning one knob leaves the decisions of the others as they were; and the simulator and the lab's
// user-space wire, which both ask here, lose the same packets under the same seed.
//
// Randomness. Each (seed, link, direction, class) has a ChaCha20 key, BLAKE2b-256 under the seed of the other
// three. Packet number n of the class owns the 64-byte block n of that key's key stream: eight 64-bit draws,
// each with one fixed meaning, drawn whether a knob uses it or not.
//
// Burst loss is a Gilbert–Elliott chain, which has state: good or bad, carried from packet to packet of one
// class in one direction. It stays a pure function of the ordinal all the same ("coupling from the past"):
// the draw of a packet alone very often settles the state whatever it was before; where it does not, the
// packet before is asked, back to number 0, whose state is drawn from the chain's equilibrium. About
// 1/(good_to_bad + bad_to_good) packets are visited.
//
// Reordering is measured as RFC 4737 (section 3) measures it: a packet is reordered when one that was sent
// after it arrived before it. `reorder` is that share: so many packets are held back by `reorder_hold`, and
// each of them counts as reordered if the stream's next unheld packet follows within the hold. (netem instead
// sends the chosen packets ahead, so that all the others are the reordered ones.) Jitter is drawn for each
// packet alone, so it reorders packets closer together than twice the jitter, in addition. ReorderMeter
// measures what came of both.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vpn/base/bytes.h"
#include "vpn/base/time.h"

namespace vpn::sim {

// What a packet is, as far as anyone on the path can tell.
enum class MessageClass : uint8_t { kInitiation, kResponse, kCookie, kData, kKeepalive, kOther };
inline constexpr size_t kMessageClassCount = 6;

[[nodiscard]] std::string_view message_class_name(
    MessageClass message) noexcept;  // "initiation", "response", …
[[nodiscard]] std::optional<MessageClass> parse_message_class(std::string_view name) noexcept;

// The class of a UDP payload: by WireGuard type word and length; a data message of 32 bytes is a keepalive.
[[nodiscard]] MessageClass classify_payload(BytesView udp_payload) noexcept;

// The UDP payload within an Ethernet II frame carrying IPv4 or IPv6 (without extension headers); empty
// optional when it carries no whole, unfragmented UDP datagram.
struct PayloadPosition {
  size_t offset = 0;
  size_t length = 0;
};
// Where the payload of the UDP datagram in an Ethernet frame lies; nothing in any other frame, or a fragment.
[[nodiscard]] std::optional<PayloadPosition> find_udp_payload(BytesView ethernet_frame) noexcept;
// The class of an Ethernet frame; kOther for all that is not a UDP datagram (ARP, neighbour discovery, TCP,
// …).
[[nodiscard]] MessageClass classify_frame(BytesView ethernet_frame) noexcept;

// Of a link: forward is from its first end to its second.
enum class Direction : uint8_t { kForward, kBackward };
[[nodiscard]] constexpr Direction opposite(Direction direction) noexcept {
  return direction == Direction::kForward ? Direction::kBackward : Direction::kForward;
}

// Loss in bursts, as a two-state chain that makes one step per packet (of one class). All four are
// probabilities.
struct BurstLoss {
  double good_to_bad = 0;  // 0: no bursts
  double bad_to_good = 1;  // 1/mean burst length in packets
  double loss_in_good = 0;
  double loss_in_bad = 1;

  friend bool operator==(const BurstLoss&, const BurstLoss&) = default;
};

// "The second response": packets number `first` … `last` of a class, counted from 1, are lost.
struct DropRule {
  MessageClass message = MessageClass::kOther;
  uint64_t first = 1;
  uint64_t last = 1;

  // "response:2", "data:10-20", "initiation:3-" (that and all later ones), "cookie" (all).
  [[nodiscard]] static std::optional<DropRule> parse(std::string_view text) noexcept;
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const DropRule&, const DropRule&) = default;
};

// The weather of one direction of a link. Shares are probabilities, 0 … 1. The default is a perfect wire.
struct Impairment {
  double loss = 0;     // each packet alone
  BurstLoss burst{};   // in addition
  Duration delay{0};   // at least 0
  Duration jitter{0};  // uniform in ±jitter around the delay, never before the packet was sent
  double reorder = 0;  // share held back
  Duration reorder_hold = std::chrono::milliseconds(10);  // by how much
  double duplicate = 0;                                   // a copy of what arrives, with a jitter of its own
  double corrupt = 0;                                     // one bit flipped
  std::vector<DropRule> drops{};

  // Carried out by the engine, for they depend on sizes and on time; no draw is involved.
  uint32_t mtu_bytes = 0;             // longest IP packet; 0: no limit
  uint64_t rate_bits_per_second = 0;  // 0: no limit
  uint32_t queue_packets = 1000;      // waiting for the rate; the newest is lost beyond it

  friend bool operator==(const Impairment&, const Impairment&) = default;
};

// The name of the first field that is out of range, such as "burst.bad_to_good"; nothing when all is well.
[[nodiscard]] std::optional<std::string_view> invalid_field(const Impairment& impairment) noexcept;

enum class LossCause : uint8_t { kNone, kDropList, kLoss, kBurst };

// What is decided about one packet. Of a lost packet, nothing else matters.
struct Fate {
  LossCause loss = LossCause::kNone;
  bool held = false;                          // chosen for reordering; `delay` includes the hold
  Duration delay{0};                          // from being offered to arriving
  std::optional<uint32_t> corrupt{};          // a draw; corrupt_bit() makes it a position
  std::optional<Duration> duplicate_delay{};  // of the copy

  [[nodiscard]] bool is_lost() const noexcept { return loss != LossCause::kNone; }
  friend bool operator==(const Fate&, const Fate&) = default;
};

// Which bit of `length_bytes` (> 0) bytes is flipped: 0 is the least significant bit of the first byte. The
// engines apply it to the UDP payload where there is one, so that both hit the same field (the lab mends the
// UDP checksum, for otherwise corruption would be loss under another name), and to the whole packet or frame
// elsewhere.
[[nodiscard]] constexpr uint64_t corrupt_bit(uint32_t draw, size_t length_bytes) noexcept {
  return (uint64_t{draw} * (uint64_t{length_bytes} * 8)) >> 32;
}
// Flips it. Empty bytes stay as they are.
void corrupt_bytes(uint32_t draw, MutableBytes bytes) noexcept;

// The fates of one class of messages in one direction of one link.
class FateStream {
 public:
  FateStream(uint64_t seed, std::string_view link, Direction direction, MessageClass message) noexcept;

  // The fate of packet number `ordinal` of this class (0: the first). Depends on nothing but the
  // constructor's and this call's arguments: calls may come in any order, and the impairment may change
  // between them. (What is remembered from call to call is only how far the burst chain was walked.)
  [[nodiscard]] Fate fate(const Impairment& impairment, uint64_t ordinal) noexcept;

 private:
  static constexpr size_t kDrawCount = 8;
  using Draws = std::array<uint64_t, kDrawCount>;

  [[nodiscard]] Draws draws_of(uint64_t ordinal) const noexcept;
  [[nodiscard]] bool in_burst(const BurstLoss& burst, uint64_t ordinal) noexcept;

  std::array<uint8_t, 32> key_{};
  MessageClass message_;
  BurstLoss walked_;  // the chain's parameters for which the two below hold
  std::optional<uint64_t> walked_to_;
  bool walked_state_ = false;
};

// One direction of a link: counts the packets of each class and says the fate of each.
class LinkFates {
 public:
  LinkFates(uint64_t seed, std::string_view link, Direction direction) noexcept;

  struct Decision {
    MessageClass message{};
    uint64_t ordinal = 0;  // of its class, from 0
    Fate fate;
  };
  // To be asked once for every packet offered, in order, also for those the engine itself then refuses (too
  // long, queue full, link down): whether it does must not shift the count.
  [[nodiscard]] Decision next(const Impairment& impairment, MessageClass message) noexcept;
  // Counts packets that were offered while there was no impairment, without working out what cannot befall
  // them.
  void pass(MessageClass message, uint64_t count) noexcept { offered_[index(message)] += count; }
  // How many of this class were offered so far.
  [[nodiscard]] uint64_t offered(MessageClass message) const noexcept { return offered_[index(message)]; }

 private:
  static constexpr size_t index(MessageClass message) noexcept { return static_cast<size_t>(message); }

  std::array<FateStream, kMessageClassCount> streams_;
  std::array<uint64_t, kMessageClassCount> offered_{};
};

// A seed for what an engine draws by itself, packet or no packet, such as when a medium is free: of each
// direction of each link its own, and nothing to do with the fates.
[[nodiscard]] uint64_t seed_of_direction(uint64_t seed, std::string_view link, Direction direction) noexcept;

// Measures reordering as RFC 4737 does: tell it the sequence numbers (0, 1, 2 … as sent) in the order of
// arrival, without the copies of duplicated packets.
class ReorderMeter {
 public:
  void arrived(uint64_t sequence) noexcept;
  [[nodiscard]] uint64_t arrived_count() const noexcept { return arrived_; }
  [[nodiscard]] uint64_t reordered_count() const noexcept { return reordered_; }
  // 0 … 1; 0 before anything arrived.
  [[nodiscard]] double share() const noexcept;

 private:
  uint64_t next_expected_ = 0;
  uint64_t arrived_ = 0;
  uint64_t reordered_ = 0;
};

}  // namespace vpn::sim
