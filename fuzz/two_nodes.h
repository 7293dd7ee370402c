// Two nodes that know one another, with seeded randomness: what the fuzzers of two nodes begin with.
#pragma once

#include "fuzz/recording_random.h"
#include "fuzz/reference_noise.h"
#include "vpn/core/node.h"

namespace vpn::fuzz {

inline Bytes32 key(uint8_t number) {
  Bytes32 bytes;
  for (size_t at = 0; at < bytes.size(); ++at) bytes[at] = static_cast<uint8_t>(number * size_t{37} + at);
  return fuzz::clamped(bytes);
}

// Every node has four addresses; datagrams to any of them reach it, so a roaming endpoint stays a right one.
inline core::Endpoint address_of(size_t node, unsigned choice) {
  return {
      UdpAddress{IpAddress::ipv4(192, 0, static_cast<uint8_t>(2 + node), static_cast<uint8_t>(choice & 3)),
                 51820, 0},
      std::nullopt, 0};
}
inline size_t node_at(const core::Endpoint& endpoint) {
  return endpoint.remote.address.bytes()[2] - size_t{2};
}

inline void advance(Now& now, Duration duration) {
  now.monotonic += duration;
  const int64_t nanoseconds = int64_t{now.wall.nanoseconds} + duration.count();
  now.wall.seconds += nanoseconds / 1'000'000'000;
  now.wall.nanoseconds = static_cast<uint32_t>(nanoseconds % 1'000'000'000);
}

class Side {
 public:
  Side(size_t number, Now now)
      : random_(100 + number), node_(fresh_aeads(), random_, {}, now), number_(number) {
    node_.set_private_key(Secret<32>(key(static_cast<uint8_t>(1 + number))), now);
  }
  void meet(const Side& other, Now now) {
    peer_ = *node_.add_peer(*other.node_.public_key(), crypto::Suite::kChaCha20Poly1305, now);
    node_.allow(peer_, IpPrefix{IpAddress::ipv4(10, 0, 0, static_cast<uint8_t>(other.number_)), 32});
    node_.set_endpoint(peer_, address_of(other.number_, 0), now);
  }
  core::Node& node() { return node_; }
  [[nodiscard]] PeerId peer() const { return peer_; }

 private:
  SeededRandom random_;
  core::Node node_;
  size_t number_;
  PeerId peer_;
};

}  // namespace vpn::fuzz
