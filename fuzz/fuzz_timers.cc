// A Node's timers as a sequence of operations against a model of the protocol's rules (whitepaper section 6,
// and the Linux implementation where it is silent). The peer is played by a reference that holds all keys.
// After every moment in which a timer may have run, what the Node sent is compared with what the rules make
// due: initiations (first, repeated, on silence, on age, on volume) within their jitter, keepalives to the
// nanosecond, giving up, erasure of keys. The queue below is compared with a scan on the same input.
#include <algorithm>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/recording_random.h"
#include "fuzz/reference_noise.h"
#include "vpn/base/check.h"
#include "vpn/core/node.h"
#include "vpn/core/timers.h"

namespace vpn {
namespace {

using fuzz::Bytes32;
using namespace std::chrono_literals;

constexpr size_t kMaxSteps = 48;
constexpr Duration kJitter = 333ms;
// Moments that are looked at, in all of the steps: an interval of a second would fill hours with them.
constexpr size_t kMaxMoments = 160;

Bytes32 key(uint8_t number) {
  Bytes32 bytes;
  for (size_t at = 0; at < bytes.size(); ++at) bytes[at] = static_cast<uint8_t>(size_t{number} * 41 + at);
  return fuzz::clamped(bytes);
}

const core::Endpoint kPeerEndpoint{UdpAddress{IpAddress::ipv4(192, 0, 2, 1), 51820, 0}, std::nullopt, 0};

std::vector<uint8_t> inner_packet(uint8_t from, uint8_t to) {
  std::vector<uint8_t> packet(32);
  packet[0] = 0x45;
  packet[3] = 32;
  packet[12] = packet[16] = 10;
  packet[15] = from;
  packet[19] = to;
  return packet;
}

// A moment that jitter leaves open by up to 333 ms.
struct Due {
  Instant from{};
  Instant to{};
};
Due jittered(Instant at) {
  return {at, at + kJitter};
}

// What the rules say of one peer, told what happened.
struct Rules {
  std::optional<Due> retransmit;
  std::optional<Due> no_answer;
  std::optional<Instant> keepalive;
  std::optional<Instant> persistent;
  std::optional<Instant> erase;
  std::optional<Instant> handshake_sent;
  Due attempts_began{};
  bool keepalive_again = false;
};

class World {
 public:
  World() : node_(fuzz::fresh_aeads(), random_, {}, now_) {
    node_.set_private_key(Secret<32>(key(1)), now_);
    peer_ = *node_.add_peer(PublicKey{fuzz::public_of(key(2))}, crypto::Suite::kChaCha20Poly1305, now_);
    node_.allow(peer_, IpPrefix{IpAddress::ipv4(10, 0, 0, 2), 32});
    node_.set_endpoint(peer_, kPeerEndpoint, now_);
  }

  void step(fuzz::Input& input) {
    const auto what = input.take<uint8_t>();
    switch (what & 7) {
      case 0:
      case 1:
        send();
        break;
      case 2:
        answer();
        break;
      case 3:
        receive(/*data=*/true);
        break;
      case 4:
        receive(/*data=*/false);
        break;
      case 5:
        pass(std::chrono::milliseconds(uint64_t{1} << (what >> 3) % 20));
        break;
      case 6:
        pass(Duration(kMoments[(what >> 3) % std::size(kMoments)]) + Duration(input.take<uint8_t>() % 3 - 1));
        break;
      default:
        set_persistent((what >> 3) * 1s);
        break;
    }
  }

  [[nodiscard]] bool exhausted() const { return undecided_ || moments_ > kMaxMoments; }

 private:
  static constexpr Duration kMoments[] = {5s, 10s, 15s, 25s, 90s, 119s, 120s, 164s, 165s, 179s, 180s, 540s};

  struct Session {
    uint32_t local = 0;
    Bytes32 receive_key{};  // the peer seals with it
    uint64_t next_counter = 0;
    Instant created{};
    bool last_chance_taken = false;
  };

  // ── Operations ──

  void send() {
    const auto packet = inner_packet(1, 2);
    std::vector<uint8_t> out(node_.sealed_bytes(packet.size()));
    const bool sendable = session_ && now_.monotonic - session_->created < 179s;
    const auto sent = node_.send_packet(packet, out, now_);
    VPN_CHECK(sent.has_value());
    VPN_CHECK(sent->has_value() == sendable);
    if (sendable) {
      expect_data_sent();
      if (now_.monotonic - session_->created >= 120s) expect_initiation_afresh();
    } else {
      staged_ = std::min<size_t>(staged_ + 1, 128);
      expect_initiation_afresh();
    }
    check_sent();
  }

  // The peer answers the initiation it saw last.
  void answer() {
    if (!pending_) return;
    const auto plain = fuzz::open_initiation(key(2), *pending_);
    VPN_CHECK(plain.has_value());
    const auto sealed = fuzz::seal_response_as_responder(*plain, {77, plain->sender, {}}, key(3), {});
    std::vector<uint8_t> message = sealed.message;
    fuzz::write_macs(message, fuzz::public_of(key(1)), std::nullopt);
    VPN_CHECK(node_.receive_datagram(kPeerEndpoint, 0, message, now_).has_value());
    pending_.reset();
    session_ = Session{plain->sender, sealed.keys.responder_sends, 0, now_.monotonic};
    note_received();
    rules_.retransmit.reset();
    rules_.erase = now_.monotonic + 540s;
    // The responder must hear from us: what waited, or an empty message.
    expected_data_ = std::max<size_t>(staged_, 1);
    note_sent();
    if (staged_ != 0 && !rules_.no_answer) rules_.no_answer = jittered(now_.monotonic + 15s);
    staged_ = 0;
    check_sent();
  }

  void receive(bool data) {
    if (!session_) return;
    auto message =
        fuzz::seal_data(crypto::Suite::kChaCha20Poly1305, session_->receive_key, session_->local,
                        session_->next_counter++, data ? inner_packet(2, 1) : std::vector<uint8_t>{});
    const Duration age = now_.monotonic - session_->created;
    const auto delivered = node_.receive_datagram(kPeerEndpoint, 0, message, now_);
    if (age >= 180s) {
      VPN_CHECK(!delivered);
      check_sent();
      return;
    }
    note_received();
    if (data && rules_.keepalive) {
      rules_.keepalive_again = true;
    } else if (data) {
      rules_.keepalive = now_.monotonic + 10s;
    }
    // Made when the Node is next asked for what to send, so that it goes in the place of that keepalive.
    if (age >= 165s && !session_->last_chance_taken) {
      session_->last_chance_taken = true;
      expect_initiation_afresh();
    }
    check_sent();
  }

  void set_persistent(Duration interval) {
    const bool switched_on = persistent_ == 0s && interval != 0s;
    persistent_ = interval;
    rules_.persistent.reset();
    if (interval != 0s) rules_.persistent = now_.monotonic + interval;
    node_.set_persistent_keepalive(peer_, std::chrono::duration_cast<std::chrono::seconds>(interval), now_);
    if (switched_on) expect_keepalive();
    check_sent();
  }

  void pass(Duration duration) {
    const Instant end = now_.monotonic + std::max(duration, Duration{});
    while (true) {
      // The model's own moments are looked at too, so that a timer which is late is seen to be.
      Instant next = end;
      if (const auto due = node_.poll_timeout()) next = std::min(next, *due);
      for (const auto& at : {rules_.keepalive, rules_.persistent, rules_.erase})
        next = std::min(next, at.value_or(end));
      for (const auto& due : {rules_.retransmit, rules_.no_answer})
        next = std::min(next, due ? due->to : end);
      ++moments_;
      if (exhausted()) return;
      next = std::max(next, now_.monotonic);
      advance(next - now_.monotonic);
      node_.handle_timeout(now_);
      run_rules();
      if (next == end) return;
    }
  }

  void advance(Duration duration) {
    now_.monotonic += duration;
    const int64_t nanoseconds = int64_t{now_.wall.nanoseconds} + duration.count();
    now_.wall.seconds += nanoseconds / 1'000'000'000;
    now_.wall.nanoseconds = static_cast<uint32_t>(nanoseconds % 1'000'000'000);
  }

  // ── The rules ──

  void note_sent() {
    rules_.keepalive.reset();
    if (persistent_ != 0s) rules_.persistent = now_.monotonic + persistent_;
  }
  void note_received() {
    // Whether that timer has run just before is open, as in expect_data_sent(): then the time for attempts
    // began anew.
    if (rules_.no_answer && now_.monotonic >= rules_.no_answer->from)
      rules_.attempts_began.to = now_.monotonic;
    rules_.no_answer.reset();
    if (persistent_ != 0s) rules_.persistent = now_.monotonic + persistent_;
  }
  void expect_data_sent() {
    note_sent();
    // Silence that was noticed before is not told again, so in this third of a second nobody outside can say
    // whether the timer has run, and starts anew now. What would follow is guesswork.
    if (rules_.no_answer && now_.monotonic >= rules_.no_answer->from) undecided_ = true;
    if (!rules_.no_answer) rules_.no_answer = jittered(now_.monotonic + 15s);
  }
  void expect_keepalive() {
    if (!session_ || now_.monotonic - session_->created >= 179s) return expect_initiation_afresh();
    ++expected_data_;
    note_sent();
    if (now_.monotonic - session_->created >= 120s) expect_initiation_afresh();
  }
  void expect_initiation_afresh() {
    rules_.attempts_began = {now_.monotonic, now_.monotonic};
    expect_initiation();
  }
  // At most one in five seconds; one that came too soon is made up for.
  void expect_initiation() {
    if (rules_.handshake_sent && now_.monotonic - *rules_.handshake_sent < 5s) {
      if (!rules_.retransmit) rules_.retransmit = jittered(*rules_.handshake_sent + 5s);
      return;
    }
    ++expected_initiations_;
    rules_.handshake_sent = now_.monotonic;
    rules_.retransmit = jittered(now_.monotonic + 5s);
    note_sent();
  }

  // What must have happened by now, and what may have. Timers of a fixed length fire to the nanosecond; where
  // one with jitter may have fired, the Node's own word is taken, and at the end of the interval it must
  // have.
  void run_rules() {
    collect();
    const Instant now = now_.monotonic;
    if (rules_.keepalive && now >= *rules_.keepalive) {
      rules_.keepalive.reset();
      const bool again = std::exchange(rules_.keepalive_again, false);
      expect_keepalive();
      if (again) rules_.keepalive = now + 10s;
    }
    if (rules_.erase && now >= *rules_.erase) {
      rules_.erase.reset();
      session_.reset();
      pending_forgotten_ = true;
    }
    if (rules_.persistent && now >= *rules_.persistent) {
      rules_.persistent = now + persistent_;
      expect_keepalive();
    }
    const bool silence_noticed = std::exchange(silence_noticed_, false);
    if (rules_.no_answer && (silence_noticed || now >= rules_.no_answer->to)) {
      VPN_CHECK(now >= rules_.no_answer->from);
      const Instant since = rules_.no_answer->from;
      rules_.no_answer.reset();
      // Silence that was noticed before is not told again, so when it was is open: where a repetition is due
      // anyway, the Node may have noticed while the last initiation was too recent, and left it to that.
      const bool left_to_repetition =
          !silence_noticed && rules_.retransmit && initiations_ == expected_initiations_;
      if (!left_to_repetition) expect_initiation_afresh();
      if (!silence_noticed) rules_.attempts_began = {since, now};
    } else {
      VPN_CHECK(!silence_noticed);
    }
    const bool unexplained = initiations_ > expected_initiations_ || gave_up_ != 0;
    if (rules_.retransmit && (unexplained || now >= rules_.retransmit->to)) retransmit();
    // Silence that was noticed before is not reported again: an initiation alone may show it.
    if (initiations_ > expected_initiations_ && rules_.no_answer && now >= rules_.no_answer->from) {
      rules_.no_answer.reset();
      expect_initiation_afresh();
    }
    judge();
  }

  void retransmit() {
    const Instant now = now_.monotonic;
    if (now < rules_.retransmit->from) return;
    rules_.retransmit.reset();
    if (gave_up_ != 0) {
      VPN_CHECK(now - rules_.attempts_began.from >= 90s);
      expect_giving_up();
    } else {
      VPN_CHECK(now - rules_.attempts_began.to < 90s);
      expect_initiation();
    }
  }

  void expect_giving_up() {
    ++expected_giving_up_;
    rules_.keepalive.reset();
    staged_ = 0;
    pending_forgotten_ = true;
    if (!rules_.erase) rules_.erase = now_.monotonic + 540s;
  }

  // ── What the Node did ──

  void collect() {
    while (const auto transmit = node_.poll_transmit(now_)) {
      if (load_le<uint32_t>(transmit->datagram.data()) == 1) {
        ++initiations_;
        pending_.emplace(transmit->datagram.begin(), transmit->datagram.end());
      } else {
        VPN_CHECK(load_le<uint32_t>(transmit->datagram.data()) == 4);
        ++data_;
      }
    }
    while (const auto event = node_.poll_event()) {
      gave_up_ += event->kind == core::EventKind::kHandshakeGaveUp ? 1 : 0;
      if (event->kind == core::EventKind::kWentSilent) silence_noticed_ = true;
    }
  }

  void check_sent() {
    collect();
    judge();
  }

  void judge() {
    VPN_CHECK(initiations_ == expected_initiations_);
    VPN_CHECK(data_ == expected_data_);
    VPN_CHECK(gave_up_ == expected_giving_up_);
    if (std::exchange(pending_forgotten_, false)) pending_.reset();
    initiations_ = expected_initiations_ = data_ = expected_data_ = gave_up_ = expected_giving_up_ = 0;
    const auto status = *node_.status(peer_, now_.monotonic);
    VPN_CHECK(status.current.has_value() == session_.has_value());
    VPN_CHECK(status.staged_packets == staged_);
  }

  Now now_{Instant(1000s), UnixTime{1'700'000'000, 0}};
  fuzz::SeededRandom random_{5};
  core::Node node_;
  PeerId peer_;
  Rules rules_;
  Duration persistent_{};
  std::optional<Session> session_;
  std::optional<std::vector<uint8_t>> pending_;
  bool pending_forgotten_ = false;
  bool silence_noticed_ = false;
  bool undecided_ = false;
  size_t moments_ = 0;
  size_t staged_ = 0;
  size_t initiations_ = 0, expected_initiations_ = 0;
  size_t data_ = 0, expected_data_ = 0;
  size_t gave_up_ = 0, expected_giving_up_ = 0;
};

// The heap of peers by their next deadline, and one peer's table, against scans.
void check_queue(fuzz::Input input) {
  constexpr size_t kEntries = 16;
  std::array<core::TimerQueue::Entry, kEntries> entries;
  std::array<std::optional<Instant>, kEntries> keys;
  core::TimerQueue queue;
  core::TimerTable table;
  std::array<Instant, core::kTimerCount> deadlines;
  deadlines.fill(Instant::max());
  for (size_t step = 0; step < 128 && !input.empty(); ++step) {
    const auto what = input.take<uint8_t>();
    const Instant at(Duration(input.take<uint8_t>()));
    const size_t which = what % kEntries;
    const auto timer = static_cast<core::Timer>(which % core::kTimerCount);
    if ((what & 0x40) != 0) {
      queue.remove(entries[which]);
      keys[which].reset();
      const auto due = table.take_due(at);
      const auto expected =
          std::find_if(deadlines.begin(), deadlines.end(), [&](Instant d) { return d <= at; });
      VPN_CHECK(due.has_value() == (expected != deadlines.end()));
      if (due) VPN_CHECK(static_cast<size_t>(*due) == static_cast<size_t>(expected - deadlines.begin()));
      if (due) *expected = Instant::max();
    } else {
      queue.schedule(entries[which], at);
      keys[which] = std::min(keys[which].value_or(at), at);
      table.arm(timer, at);
      deadlines[static_cast<size_t>(timer)] = at;
    }
    Instant least = Instant::max();
    for (const auto& key : keys) least = std::min(least, key.value_or(Instant::max()));
    VPN_CHECK((queue.top() == nullptr ? Instant::max() : queue.top()->key) == least);
    VPN_CHECK(table.earliest() == *std::min_element(deadlines.begin(), deadlines.end()));
    VPN_CHECK(table.is_armed(timer) == (deadlines[static_cast<size_t>(timer)] != Instant::max()));
  }
}

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  fuzz::Input input({data, size});
  if (input.flag()) {
    check_queue(input);
    return 0;
  }
  World world;
  for (size_t step = 0; step < kMaxSteps && !input.empty() && !world.exhausted(); ++step) world.step(input);
  return 0;
}
