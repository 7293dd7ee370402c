#include "vpn/offload/checksum.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "vpn/offload/test_packets.h"

namespace vpn::offload {
namespace {

TEST(Checksum, ExampleOfRfc1071) {
  const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(fold_sum(add_to_sum(PartialSum{0}, bytes)), 0xddf2);
}

TEST(Checksum, EqualsTheReferenceAtEveryLengthAndAlignment) {
  std::mt19937_64 random(1);
  std::vector<uint8_t> bytes(70'000);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  for (size_t offset = 0; offset < 9; ++offset) {
    for (size_t length = 0; length < 200; ++length) {
      const BytesView view = BytesView(bytes).subspan(offset, length);
      ASSERT_EQ(fold_sum(add_to_sum(PartialSum{0}, view)), testing::reference_sum(view))
          << offset << " " << length;
    }
  }
  for (const size_t length : {1420u, 9000u, 65535u}) {
    const BytesView view = BytesView(bytes).first(length);
    EXPECT_EQ(fold_sum(add_to_sum(PartialSum{0}, view)), testing::reference_sum(view));
  }
}

TEST(Checksum, CarriesOutOfEveryLane) {
  const std::vector<uint8_t> ones(65535, 0xff);
  EXPECT_EQ(fold_sum(add_to_sum(PartialSum{0}, BytesView(ones).first(65534))), 0xffff);
  EXPECT_EQ(fold_sum(add_to_sum(PartialSum{0}, ones)), testing::reference_sum(ones));
}

TEST(Checksum, PartsAddUp) {
  std::vector<uint8_t> bytes(500);
  std::mt19937 random(2);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  const BytesView all(bytes);
  for (size_t cut = 0; cut < 500; cut += 2) {
    EXPECT_EQ(fold_sum(add_to_sum(add_to_sum(PartialSum{0}, all.first(cut)), all.subspan(cut))),
              testing::reference_sum(all));
  }
}

}  // namespace
}  // namespace vpn::offload
