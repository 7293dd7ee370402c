// What a Node keeps of each of many peers. [issue 9, cost growth]
#include <gtest/gtest.h>
#include <malloc.h>

#include "vpn/core/node_test_support.h"

namespace vpn::core {
namespace {

using namespace testing;

size_t allocated_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

TEST(NodeMemory, AConfiguredPeerIsSmall) {
  constexpr uint32_t kPeers = 10'000;
  TestNode node(1);
  const size_t before = allocated_bytes();
  for (uint32_t number = 0; number < kPeers; ++number) {
    PublicKey key;
    store_le(key.bytes.data(), number + 1);
    key.bytes[31] = 1;
    const PeerId peer = *node.node().add_peer(key, crypto::Suite::kChaCha20Poly1305, Now{});
    std::array<uint8_t, 4> address;
    store_be(address.data(), 0x0a000000u + number);
    node.node().allow(peer, IpPrefix{IpAddress::ipv4(address), 32});
  }
  EXPECT_LT((allocated_bytes() - before) / kPeers, 1300u);
}

}  // namespace
}  // namespace vpn::core
