// M3.3: secrets are erased when they go, and cannot be printed on the way.
#include "vpn/base/secret.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <new>
#include <ostream>
#include <type_traits>

namespace vpn {
namespace {

constexpr size_t kKeyBytes = 32;
using Key = Secret<kKeyBytes>;
using LockedKey = LockedSecret<kKeyBytes>;

std::array<uint8_t, kKeyBytes> bytes_from(uint8_t first) {
  std::array<uint8_t, kKeyBytes> bytes;
  for (size_t index = 0; index < kKeyBytes; ++index) bytes[index] = static_cast<uint8_t>(first + index);
  return bytes;
}

bool holds(BytesView view, const std::array<uint8_t, kKeyBytes>& bytes) {
  return std::equal(view.begin(), view.end(), bytes.begin(), bytes.end());
}

template <typename T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};
static_assert(Printable<int> && !Printable<Key> && !Printable<LockedKey>);
// Only an explicit conversion makes a secret, and none leads back but view().
static_assert(!std::is_convertible_v<std::array<uint8_t, kKeyBytes>, Key>);
static_assert(!std::is_convertible_v<Key, BytesView> && !std::is_convertible_v<Key, bool>);
static_assert(!std::is_copy_constructible_v<LockedKey> && !std::is_copy_assignable_v<LockedKey>);
static_assert(std::is_nothrow_move_constructible_v<LockedKey> &&
              std::is_nothrow_move_assignable_v<LockedKey>);

TEST(Secret, StartsAsZeros) {
  const Key key;
  EXPECT_TRUE(key.is_zero());
  EXPECT_TRUE(holds(key.view(), {}));
}

TEST(Secret, HoldsWhatItIsGiven) {
  const Key key(bytes_from(1));
  EXPECT_FALSE(key.is_zero());
  EXPECT_TRUE(holds(key.view(), bytes_from(1)));
}

TEST(Secret, MemoryIsWipedWhenItGoes) {
  alignas(Key) std::array<uint8_t, sizeof(Key)> memory{};
  Key* key = new (memory.data()) Key(bytes_from(1));
  ASSERT_TRUE(holds(memory, bytes_from(1)));
  key->~Key();
  EXPECT_TRUE(holds(memory, {}));
}

TEST(Secret, ClearWipes) {
  Key key(bytes_from(1));
  key.clear();
  EXPECT_TRUE(key.is_zero());
}

TEST(Secret, CopyLeavesTheSourceAndMoveWipesIt) {
  Key source(bytes_from(1));
  Key copy = source;
  EXPECT_TRUE(holds(source.view(), bytes_from(1)));
  EXPECT_TRUE(holds(copy.view(), bytes_from(1)));
  Key moved = std::move(source);
  EXPECT_TRUE(holds(moved.view(), bytes_from(1)));
  EXPECT_TRUE(source.is_zero());
  Key assigned(bytes_from(9));
  assigned = std::move(moved);
  EXPECT_TRUE(holds(assigned.view(), bytes_from(1)));
  EXPECT_TRUE(moved.is_zero());
}

TEST(Secret, MoveToItselfKeepsIt) {
  Key key(bytes_from(1));
  Key& same = key;
  key = std::move(same);
  EXPECT_TRUE(holds(key.view(), bytes_from(1)));
}

TEST(Secret, EqualOnlyWhenEveryBitIs) {
  const Key key(bytes_from(1));
  EXPECT_TRUE(key == Key(bytes_from(1)));
  for (size_t bit = 0; bit < kKeyBytes * 8; ++bit) {
    std::array<uint8_t, kKeyBytes> bytes = bytes_from(1);
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(key == Key(bytes)) << "bit " << bit;
  }
}

TEST(Secret, ComparisonOfViewsKnowsLengths) {
  const auto bytes = bytes_from(1);
  EXPECT_TRUE(equal_constant_time(bytes, bytes));
  EXPECT_TRUE(equal_constant_time({}, {}));
  EXPECT_FALSE(equal_constant_time(bytes, BytesView(bytes).first(31)));
  EXPECT_FALSE(equal_constant_time({}, bytes));
}

TEST(Secret, WipeOfNothingIsHarmless) {
  wipe({});
}

TEST(LockedSecret, StartsAsZerosAndHoldsWhatItIsGiven) {
  const LockedKey zeros;
  const LockedKey key(bytes_from(1));
  EXPECT_TRUE(holds(zeros.view(), {}));
  EXPECT_TRUE(holds(key.view(), bytes_from(1)));
}

TEST(LockedSecret, MoveHandsTheMemoryOver) {
  LockedKey source(bytes_from(1));
  const uint8_t* memory = source.view().data();
  LockedKey moved = std::move(source);
  EXPECT_EQ(moved.view().data(), memory);
  LockedKey assigned(bytes_from(9));
  assigned = std::move(moved);
  EXPECT_EQ(assigned.view().data(), memory);
  EXPECT_TRUE(holds(assigned.view(), bytes_from(1)));
  LockedKey& same = assigned;
  assigned = std::move(same);
  EXPECT_TRUE(holds(assigned.view(), bytes_from(1)));
}

TEST(LockedSecretDeathTest, MovedFromHasNothingToShow) {
  LockedKey source(bytes_from(1));
  const LockedKey moved = std::move(source);
  EXPECT_DEATH((void)source.view(), "invariant broken");
}

// Its memory ends at a page that nobody may touch, so that running past it cannot go unnoticed.
TEST(LockedSecretDeathTest, ReadingPastItEndsTheProcess) {
  const LockedKey key(bytes_from(1));
  EXPECT_DEATH(
      {
        const volatile uint8_t* end = key.view().data() + kKeyBytes;
        (void)*end;
      },
      "");
}

}  // namespace
}  // namespace vpn
