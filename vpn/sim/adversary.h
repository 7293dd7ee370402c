// Adversary: an observer on the path that keeps what it saw and puts things of its own on the wire. It knows
// every public key and address, and no secret.
#pragma once

#include <deque>
#include <vector>

#include "vpn/sim/world.h"

namespace vpn::sim {

class Adversary final : public Observer {
 public:
  explicit Adversary(World& world);
  ~Adversary() override;
  Adversary(const Adversary&) = delete;
  Adversary& operator=(const Adversary&) = delete;

  void on_transmit(const TransmitSeen& seen) override;

  // Each takes a draw that decides what, of all it could do, it does. Nothing was seen yet: nothing is done.
  void replay(
      uint64_t draw);  // something seen, whole, to the one it was meant for (to the hub also from elsewhere)
  void alter(uint64_t draw);      // a bit flipped
  void truncate(uint64_t draw);   // the end cut off
  void extend(uint64_t draw);     // zeros appended
  void splice(uint64_t draw);     // the head of one, the tail of another
  void misdirect(uint64_t draw);  // to another node than the one it was meant for
  void garbage(uint64_t draw);    // nothing like a message
  // `count` initiations with a right mac1 and random content, from addresses of their own.
  void flood(uint64_t draw, size_t count);

 private:
  struct Recorded {
    NodeId to;
    UdpAddress source;
    std::vector<uint8_t> bytes;
  };
  // Empty when nothing was seen.
  [[nodiscard]] const Recorded* pick(uint64_t draw) const;
  [[nodiscard]] NodeId any_node(uint64_t draw) const;

  World& world_;
  std::deque<Recorded> recorded_;
};

}  // namespace vpn::sim
