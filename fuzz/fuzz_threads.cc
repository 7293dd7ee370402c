// Two SharedNodes, each used by two workers and a main loop at the same time, as the threads of a daemon use
// them: each thread has a program of its own, which the input tells. Bursts, replays, forgeries, time,
// rekeying, changes of the configuration and peers that come and go, all at once. (The workers' way through a
// node alone, packet for packet, is `workers`' subject.)
//
// However the threads interleave: what is delivered is what was sent, once; no session's counter is used
// twice; each datagram that came was either accepted or counted as dropped, and each packet offered was sent,
// is staged or was counted as dropped; the main loop knows of whatever waits for it; and once the threads
// have ended, a packet gets through each way. ThreadSanitizer sees the rest: `make fuzz-tsan`.
#include <atomic>
#include <deque>
#include <latch>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/two_nodes.h"
#include "vpn/base/check.h"
#include "vpn/daemon/shared_node.h"
#include "vpn/wire/messages.h"

namespace vpn::crypto {
// In the place of select_aeads(), by the linker: without its self-tests, which cost a millisecond a set.
AeadSet quick_aeads(std::optional<Backend> only) noexcept
    __asm__("__wrap__ZN3vpn6crypto12select_aeadsESt8optionalINS0_7BackendEE");
AeadSet quick_aeads(std::optional<Backend> /*only*/) noexcept {
  return fuzz::fresh_aeads();
}
}  // namespace vpn::crypto

namespace vpn {
namespace {

using daemon::SharedNode;
using namespace std::chrono_literals;
using Bytes = std::vector<uint8_t>;

constexpr size_t kWorkers = 2;
constexpr size_t kMaxSteps = 60;  // of all threads together
constexpr size_t kMaxInFlight = 128;
constexpr auto kDataType = static_cast<uint32_t>(wire::MessageType::kData);

// What the input has one thread do, at one of the two ends.
struct Step {
  uint8_t what = 0;
  size_t end = 0;
  uint8_t how = 0;
};
using Program = std::vector<Step>;

// Everybody's time. A node asks for it with its lock held.
class SharedClock {
 public:
  [[nodiscard]] Now now() const noexcept {
    Now now{Instant(1000s), UnixTime{1'700'000'000, 0}};
    fuzz::advance(now, Duration(passed_.load()));
    return now;
  }
  void pass(Duration duration) noexcept { passed_.fetch_add(duration.count()); }

 private:
  std::atomic<Duration::rep> passed_ = 0;
};

// Datagrams under way to one end.
class Mailbox {
 public:
  void put(Bytes datagram) {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() < kMaxInFlight) waiting_.push_back(std::move(datagram));
  }
  std::vector<Bytes> take(size_t count) {
    const std::lock_guard lock(mutex_);
    std::vector<Bytes> taken;
    for (; count > 0 && !waiting_.empty(); --count) {
      taken.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    if (!taken.empty()) last_ = taken.back();
    return taken;
  }
  // Of what is under way: doubled, lost, turned round, changed, cut; or what was taken last comes again.
  void disturb(uint8_t how) {
    const std::lock_guard lock(mutex_);
    if (how % 6 == 0 && !last_.empty()) waiting_.push_back(last_);
    if (waiting_.empty()) return;
    Bytes& bytes = waiting_[how / 6 % waiting_.size()];
    if (how % 6 == 1) waiting_.emplace_back(bytes);
    if (how % 6 == 2) waiting_.pop_front();
    if (how % 6 == 3) std::reverse(waiting_.begin(), waiting_.end());
    if (how % 6 == 4) bytes[how / 6 % bytes.size()] ^= 4;
    if (how % 6 == 5) bytes.resize(1 + bytes.size() / 2);
  }
  [[nodiscard]] bool empty() {
    const std::lock_guard lock(mutex_);
    return waiting_.empty();
  }

 private:
  std::mutex mutex_;
  std::deque<Bytes> waiting_;
  Bytes last_;
};

// A packet's length and content follow from its number, so that whoever gets it can tell that it is whole.
Bytes packet_of(uint32_t label, size_t from) {
  Bytes packet(32 + label * 7 % 90);
  for (size_t at = 20; at < packet.size(); ++at) packet[at] = static_cast<uint8_t>(label * size_t{31} + at);
  packet[0] = 0x45;
  packet[3] = static_cast<uint8_t>(packet.size());
  packet[12] = packet[16] = 10;
  packet[15] = static_cast<uint8_t>(from);
  packet[19] = static_cast<uint8_t>(1 - from);
  store_be(&packet[20], label);
  return packet;
}

// What a thread saw at one end.
struct Tally {
  uint64_t offered = 0, carried = 0;                 // packets given, datagrams with a packet made
  uint64_t received = 0, refused = 0;                // datagrams
  std::vector<std::pair<uint32_t, Counter>> sealed;  // the receiver's index, and the counter
  std::vector<uint32_t> delivered;
};

struct End {
  End(size_t own_number, const SharedClock& clock)
      : number(own_number),
        options{.report_ephemeral_keys = own_number == 0},
        random(100 + own_number),
        shared(random, options, [&clock] { return clock.now(); }) {
    const auto node = shared.control();
    node->set_private_key(Secret<32>(fuzz::key(static_cast<uint8_t>(1 + number))), node.now());
  }
  size_t number;
  core::NodeOptions options;
  fuzz::SeededRandom random;
  SharedNode shared;
  Mailbox mailbox;
  PublicKey other;
  std::set<fuzz::Bytes32> ephemeral_keys;  // told, not seen in a message yet; whoever has control uses it
  std::atomic<bool> woken = false;         // the main loop is to do a round
  bool timer_fired = true;                 // the main loop's own, as what follows
  std::optional<Instant> timer_set;
  std::array<uint8_t, 12> timestamp_sent{};
};

class World {
 public:
  World() {
    for (End& end : ends) end.other = *ends[1 - end.number].shared.data()->public_key();
    for (End& end : ends) add_peer(end);
  }

  static void add_peer(End& end) {
    const auto node = end.shared.control();
    const auto suite = crypto::Suite::kChaCha20Poly1305;
    const PeerId peer = *node->add_peer(end.other, suite, node.now());
    node->allow(peer, prefix_of(end));
    node->set_endpoint(peer, fuzz::address_of(1 - end.number, 0), node.now());
  }
  static IpPrefix prefix_of(const End& end) {
    return {IpAddress::ipv4(10, 0, 0, static_cast<uint8_t>(1 - end.number)), 32};
  }

  SharedClock clock;
  std::array<End, 2> ends{End(0, clock), End(1, clock)};
  std::atomic<uint32_t> last_label = 0;
};

// What both kinds of threads do.
class Thread {
 public:
  explicit Thread(World& world) : world_(world) {}
  [[nodiscard]] const Tally& tally(size_t end) const { return tallies_[end]; }

 protected:
  void post(End& end, BytesView datagram) {
    Tally& tally = tallies_[end.number];
    if (load_le<uint32_t>(datagram.data()) == kDataType) {
      tally.carried += datagram.size() > wire::kDataOverheadBytes;
      tally.sealed.emplace_back(load_le<uint32_t>(&datagram[4]), load_le<uint64_t>(&datagram[8]));
    }
    world_.ends[1 - end.number].mailbox.put(Bytes(datagram.begin(), datagram.end()));
  }
  // As Worker::drain_transmits, with a key log.
  void drain_transmits(End& end, SharedNode::Control& control) {
    while (const auto transmit = control->poll_transmit(control.now())) {
      if (end.options.report_ephemeral_keys) note_keys(end, control, transmit->datagram);
      post(end, transmit->datagram);
    }
  }

  // The key that a handshake message carries was told before the message, once.
  static void note_keys(End& end, SharedNode::Control& control, BytesView datagram) {
    while (const auto key = control->poll_ephemeral_key()) {
      fuzz::Bytes32 bytes;
      copy_bytes(key->private_key.view(), bytes);
      VPN_CHECK(end.ephemeral_keys.insert(fuzz::public_of(bytes)).second);
    }
    const auto type = load_le<uint32_t>(datagram.data());
    if (type != 1 && type != 2) return;
    fuzz::Bytes32 carried;
    copy_bytes(datagram.subspan(type == 1 ? 8 : 12, 32), carried);
    VPN_CHECK(end.ephemeral_keys.erase(carried) == 1);
  }

  World& world_;
  std::array<Tally, 2> tallies_;
};

// Beside the main loop, as worker.h's.
class Worker : public Thread {
 public:
  Worker(World& world, crypto::AeadSet& aeads) : Thread(world), aeads_(aeads) {}

  void run(const Program& program) {
    for (const Step& step : program) {
      End& end = world_.ends[step.end];
      if (step.what < 5) {
        send(end, 1 + step.how % 12);
      } else if (step.what < 10) {
        receive(end, step.how);
      } else if (step.what < 12) {
        end.mailbox.disturb(step.how);
      } else if (step.what == 12) {
        world_.clock.pass(std::chrono::milliseconds(uint64_t{1} << step.how % 16));
      } else {
        std::this_thread::yield();
      }
      for (End& one : world_.ends) finish_round(one);
    }
  }

  void send(End& end, size_t count) {
    std::vector<Bytes> packets;
    for (size_t index = 0; index < count; ++index)
      packets.push_back(packet_of(world_.last_label.fetch_add(1) + 1, end.number));
    tallies_[end.number].offered += count;
    const auto reserved = reserve(end, packets);
    if (!reserved) return;
    if (!*reserved) return stage(end, packets);
    const core::Session& session = *(*reserved)->session;
    for (size_t index = 0; index < count; ++index) {
      Bytes datagram(sealed_bytes_[index]);
      packets[index].resize(datagram.size() - wire::kDataOverheadBytes);  // padding
      session.seal(aeads_.of(session.suite()), (*reserved)->first_counter + index, packets[index], datagram);
      post(end, datagram);
    }
  }

  // Data messages in a row are opened without the lock, and committed together.
  void receive(End& end, size_t count) {
    std::vector<Bytes> datagrams = end.mailbox.take(count);
    tallies_[end.number].received += datagrams.size();
    for (Bytes& datagram : datagrams) {
      const bool is_data =
          datagram.size() >= wire::kDataOverheadBytes && load_le<uint32_t>(datagram.data()) == kDataType;
      if (is_data) {
        await_opening(end, datagram);
        continue;
      }
      open_waiting(end);
      session_.reset();
      const auto control = end.shared.control();
      const auto from = fuzz::address_of(1 - end.number, 0);
      if (control->receive_datagram(from, 0, datagram, control.now())) continue;
      ++tallies_[end.number].refused;
      end.shared.want_main_loop();
    }
    open_waiting(end);
    session_.reset();
  }

  // As Worker::finish_round.
  void finish_round(End& end) {
    if (end.shared.has_transmits()) {
      if (auto control = end.shared.try_control()) {
        drain_transmits(end, *control);
      } else {
        end.woken.store(true);
      }
    }
    if (end.shared.claim_main_loop()) end.woken.store(true);
  }

 private:
  Result<std::optional<core::Node::SealReservation>, core::Drop> reserve(End& end,
                                                                         const std::vector<Bytes>& packets) {
    const auto node = end.shared.data();
    size_t datagram_bytes = 0;
    sealed_bytes_.clear();
    for (const Bytes& packet : packets) {
      sealed_bytes_.push_back(node->sealed_bytes(packet.size()));
      datagram_bytes += sealed_bytes_.back();
    }
    auto reserved =
        node->reserve_outbound(World::prefix_of(end).address, packets.size(), datagram_bytes, node.now());
    for (size_t index = 1; !reserved && index < packets.size(); ++index) node->count_drop(reserved.error());
    return reserved;
  }
  void stage(End& end, const std::vector<Bytes>& packets) {
    for (const Bytes& packet : packets) {
      const auto node = end.shared.data();
      Bytes out(node->sealed_bytes(packet.size()));
      const auto sent = node->send_packet(packet, out, node.now());
      if (sent && *sent) post(end, (*sent)->datagram);
    }
  }

  void await_opening(End& end, Bytes& datagram) {
    const SessionIndex index{load_le<uint32_t>(&datagram[4])};
    if (!session_ || session_->local_index() != index) {
      open_waiting(end);
      const auto node = end.shared.data();
      auto found = node->find_receiver(index, node.now());
      session_ = found ? std::move(*found) : nullptr;
    }
    if (session_) {
      waiting_.push_back(&datagram);
    } else {
      ++tallies_[end.number].refused;
    }
  }
  void open_waiting(End& end) {
    std::vector<std::optional<MutableBytes>> opened;
    for (Bytes* datagram : waiting_) {
      const auto counter = load_le<uint64_t>(&(*datagram)[8]);
      opened.push_back(session_->open(aeads_.of(session_->suite()), counter, *datagram));
    }
    const auto node = end.shared.data();
    for (size_t index = 0; index < waiting_.size(); ++index) {
      const Bytes& datagram = *waiting_[index];
      if (opened[index]) {
        const auto delivery = node->commit_inbound(*session_, load_le<uint64_t>(&datagram[8]),
                                                   fuzz::address_of(1 - end.number, index % 4), 0,
                                                   *opened[index], datagram.size(), node.now());
        if (delivery) {
          take(end, delivery->packet);
          continue;
        }
      } else {
        node->count_drop(core::Drop::kDataAuth);
      }
      ++tallies_[end.number].refused;
    }
    waiting_.clear();
  }
  void take(const End& end, BytesView packet) {
    if (packet.empty()) return;  // a keepalive
    VPN_CHECK(packet.size() >= 32);
    const auto label = load_be<uint32_t>(&packet[20]);
    VPN_CHECK(std::ranges::equal(packet, packet_of(label, 1 - end.number)));
    tallies_[end.number].delivered.push_back(label);
  }

  crypto::AeadSet& aeads_;
  std::vector<size_t> sealed_bytes_;  // of the packets being sent
  std::shared_ptr<const core::Session> session_;
  std::vector<Bytes*> waiting_;  // data messages of that session that are not opened yet
};

// Everything that is no packet, as device.h's.
class MainLoop : public Thread {
 public:
  using Thread::Thread;

  void run(const Program& program) {
    for (End& end : world_.ends) finish_round(end);
    for (const Step& step : program) {
      End& end = world_.ends[step.end];
      if (step.what < 3) {
        world_.clock.pass(std::chrono::milliseconds(uint64_t{1} << step.how % 18));
      } else if (step.what < 5) {
        report(end);
      } else if (step.what == 5) {
        reset_peer(end);
      } else {
        change(end, step.what, step.how);
      }
      for (End& one : world_.ends) fire_timer(one);
      for (End& one : world_.ends) finish_round(one);
    }
  }

  // As Device::finish_round.
  void finish_round(End& end) {
    end.woken.store(false);
    if (!end.shared.main_loop_is_wanted() && !end.timer_fired) return;
    end.timer_fired = false;
    {
      auto control = end.shared.control();
      drain_transmits(end, control);
    }
    const auto control = end.shared.control();
    while (const auto event = control->poll_event()) VPN_CHECK(core::event_name(event->kind) != "unknown");
    end.timer_set = control->poll_timeout();
    VPN_CHECK(control->greatest_timestamp_sent() >= end.timestamp_sent);
    end.timestamp_sent = control->greatest_timestamp_sent();
    end.shared.note_main_loop_done(control);
  }

  void fire_timer(End& end) {
    if (!end.timer_set || *end.timer_set > world_.clock.now().monotonic) return;
    end.timer_fired = true;
    const auto control = end.shared.control();
    control->handle_timeout(control.now());
  }

  static void report(End& end) {
    std::vector<PeerId> peers;
    {
      const auto node = end.shared.data();
      VPN_CHECK(node->private_key().has_value());
      std::set<std::string_view> names;
      uint64_t dropped = 0;
      for (size_t reason = 0; reason < core::kDropCount; ++reason) {
        const auto drop = static_cast<core::Drop>(reason);
        VPN_CHECK(names.insert(core::drop_name(drop)).second);
        dropped += node->drops().of(drop);
      }
      VPN_CHECK(dropped == node->drops().total());
      peers = node->peers();
    }
    for (const PeerId peer : peers) {
      const auto node = end.shared.data();
      VPN_CHECK(node->status(peer, node.now().monotonic).has_value());
    }
  }

 private:
  static void reset_peer(End& end) {
    {
      const auto control = end.shared.control();
      control->remove_peer(*control->find_peer(end.other));
      VPN_CHECK(!control->find_peer(end.other));
    }
    World::add_peer(end);
  }

  static void change(End& end, uint8_t what, uint8_t how) {
    const auto control = end.shared.control();
    const PeerId peer = *control->find_peer(end.other);
    core::RekeyLimits limits;
    switch (what) {
      case 6:
        control->set_endpoint(peer, fuzz::address_of(1 - end.number, how), control.now());
        break;
      case 7:
        control->reconnect(peer, control.now());
        break;
      case 8:
        control->refresh_path(peer, control.now());
        break;
      case 9:
        limits.after_messages = 1u + how;
        limits.after_bytes = how * uint64_t{100};
        control->set_rekey_limits(peer, limits);
        break;
      case 10:
        control->set_private_key(std::nullopt, control.now());  // the same key by itself changes nothing
        control->set_private_key(Secret<32>(fuzz::key(static_cast<uint8_t>(1 + end.number))), control.now());
        VPN_CHECK(control->public_key() != end.other);
        break;
      case 11:
        control->set_persistent_keepalive(peer, std::chrono::seconds(how), control.now());
        break;
      case 12:
        control->disallow(peer, World::prefix_of(end));
        break;
      case 13:
        control->set_mtu(static_cast<uint16_t>(how < 8 ? 0 : 1420));
        break;
      default:
        control->allow(peer, World::prefix_of(end));
        break;
    }
  }
};

// ── After the threads have ended ──

// Whatever waits for a main loop, it was told of, or looks at by itself in time.
void check_wake_ups(World& world) {
  for (End& end : world.ends) {
    const bool has_transmits = end.shared.has_transmits();
    const auto node = end.shared.data();
    const auto due = node->poll_timeout();
    const bool sooner = due && (!end.timer_set || *due < *end.timer_set);
    VPN_CHECK(end.woken.load() || !(has_transmits || node->has_events() || sooner));
  }
}

uint64_t dropped(const core::DropCounters& drops, core::Drop first, core::Drop last) {
  uint64_t sum = 0;
  for (auto reason = static_cast<size_t>(first); reason <= static_cast<size_t>(last); ++reason)
    sum += drops.of(static_cast<core::Drop>(reason));
  return sum;
}

void check_accounts(World& world, const std::vector<const Thread*>& threads) {
  for (End& end : world.ends) {
    Tally sum;
    std::set<std::pair<uint32_t, Counter>> sealed;
    std::set<uint32_t> delivered;
    for (const Thread* thread : threads) {
      const Tally& tally = thread->tally(end.number);
      sum.offered += tally.offered;
      sum.carried += tally.carried;
      sum.refused += tally.refused;
      for (const auto& nonce : tally.sealed) VPN_CHECK(sealed.insert(nonce).second);
      for (const uint32_t label : tally.delivered) VPN_CHECK(delivered.insert(label).second);
    }
    const auto node = end.shared.data();
    uint64_t staged = 0;
    for (const PeerId peer : node->peers())
      staged += node->status(peer, node.now().monotonic)->staged_packets;
    const auto& drops = node->drops();
    VPN_CHECK(sum.refused == dropped(drops, core::Drop::kUnknownType, core::Drop::kSourceNotAllowed));
    VPN_CHECK(sum.offered ==
              sum.carried + staged + dropped(drops, core::Drop::kOutboundNotIp, core::Drop::kPeerRemoved));
  }
}

void check_recovery(World& world, MainLoop& main, Worker& worker) {
  for (End& end : world.ends) {
    const auto control = end.shared.control();
    control->allow(*control->find_peer(end.other), World::prefix_of(end));
  }
  std::array<size_t, 2> before{worker.tally(0).delivered.size(), worker.tally(1).delivered.size()};
  for (size_t round = 0; round < 60; ++round) {
    for (End& end : world.ends) worker.send(end, 1);
    for (size_t turn = 0; turn < 8; ++turn) {
      for (End& end : world.ends) {
        main.fire_timer(end);
        end.timer_fired = true;
        main.finish_round(end);
        worker.receive(end, kMaxInFlight);
      }
    }
    if (worker.tally(0).delivered.size() > before[0] && worker.tally(1).delivered.size() > before[1]) return;
    world.clock.pass(1s);
  }
  const bool gets_through = false;
  VPN_CHECK(gets_through);
}

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  fuzz::Input input({data, size});
  std::array<Program, kWorkers + 1> programs;
  for (size_t count = 0; count < kMaxSteps && !input.empty(); ++count) {
    const auto what = input.take<uint8_t>();
    const auto how = input.take<uint8_t>();
    programs[(what >> 5 & 3) % programs.size()].push_back(
        {static_cast<uint8_t>(what & 15), size_t{what} >> 4 & 1, how});
  }
  std::array<crypto::AeadSet, kWorkers> aeads{fuzz::fresh_aeads(), fuzz::fresh_aeads()};
  World world;
  MainLoop main(world);
  Worker first(world, aeads[0]);
  Worker second(world, aeads[1]);
  std::latch begin(kWorkers + 1);
  std::thread beside([&] {
    begin.arrive_and_wait();
    first.run(programs[0]);
  });
  std::thread another([&] {
    begin.arrive_and_wait();
    second.run(programs[1]);
  });
  begin.arrive_and_wait();
  main.run(programs[2]);
  beside.join();
  another.join();

  check_wake_ups(world);
  check_accounts(world, {&main, &first, &second});
  check_recovery(world, main, first);
  check_accounts(world, {&main, &first, &second});
  return 0;
}
