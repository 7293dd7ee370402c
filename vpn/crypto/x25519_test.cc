// RFC 7748's vectors, OpenSSL as the second opinion, and the public keys an attacker would send.
#include "vpn/crypto/x25519.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "vpn/crypto/test_support.h"

namespace vpn::crypto {
namespace {

using test::from_hex;
using test::SeededBytes;
using test::to_hex;

using Bytes32 = std::array<uint8_t, 32>;

Bytes32 bytes32(std::string_view hex) {
  Bytes32 bytes;
  copy_bytes(from_hex(hex), bytes);
  return bytes;
}

std::string shared_of(const Bytes32& private_key, const Bytes32& public_key) {
  SharedSecret shared;
  if (!x25519(private_key, PublicKey{public_key}, shared)) return "refused";
  return to_hex(shared.view());
}

// The field's prime is 2^255 - 19; these are p + offset, little-endian, for offsets 0 … 18 (not below p:
// non-canonical).
Bytes32 prime_plus(uint8_t offset) {
  Bytes32 bytes;
  bytes.fill(0xff);
  bytes[0] = static_cast<uint8_t>(0xed + offset);
  bytes[31] = 0x7f;
  return bytes;
}

Bytes32 small_number(uint8_t value) {
  Bytes32 bytes{};
  bytes[0] = value;
  return bytes;
}

TEST(X25519, Rfc7748Section52) {
  EXPECT_EQ(shared_of(bytes32("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
                      bytes32("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")),
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  EXPECT_EQ(shared_of(bytes32("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
                      bytes32("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493")),
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

TEST(X25519, Rfc7748Section52Iterated) {
  Bytes32 scalar = small_number(9);
  Bytes32 point = small_number(9);
  for (int iteration = 1; iteration <= 1000; ++iteration) {
    SharedSecret shared;
    ASSERT_TRUE(x25519(scalar, PublicKey{point}, shared));
    point = scalar;
    copy_bytes(shared.view(), scalar);
    if (iteration == 1) {
      EXPECT_EQ(to_hex(scalar), "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
  }
  EXPECT_EQ(to_hex(scalar), "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

TEST(X25519, Rfc7748Section61) {
  const Bytes32 alice = bytes32("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const Bytes32 bob = bytes32("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  EXPECT_EQ(to_hex(derive_public_key(alice).bytes),
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(to_hex(derive_public_key(bob).bytes),
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  const std::string shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
  EXPECT_EQ(shared_of(alice, derive_public_key(bob).bytes), shared);
  EXPECT_EQ(shared_of(bob, derive_public_key(alice).bytes), shared);
}

// The points of order 1, 2, 4 and 8 and of the twist, and every other encoding of them that fits in 32 bytes.
TEST(X25519, PointsOfSmallOrderAreRefusedAndLeaveZeros) {
  std::vector<Bytes32> points = {
      small_number(0),
      small_number(1),
      bytes32("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
      bytes32("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
      bytes32("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),  // p - 1
      prime_plus(0),
      prime_plus(1),
  };
  const size_t canonical_count = points.size();
  for (size_t index = 0; index < canonical_count; ++index) {
    Bytes32 with_top_bit = points[index];
    with_top_bit[31] |= 0x80;  // which a receiver ignores
    points.push_back(with_top_bit);
  }
  SeededBytes random(3);
  for (const Bytes32& point : points) {
    for (int repetition = 0; repetition < 10; ++repetition) {
      Bytes32 scalar;
      copy_bytes(random(32), scalar);
      SharedSecret shared(scalar);
      EXPECT_FALSE(x25519(scalar, PublicKey{point}, shared)) << to_hex(point);
      EXPECT_TRUE(shared.is_zero());
    }
  }
}

TEST(X25519, NonCanonicalCoordinatesAreReduced) {
  SeededBytes random(4);
  for (uint8_t offset = 2; offset <= 18; ++offset) {
    Bytes32 scalar;
    copy_bytes(random(32), scalar);
    const std::string shared = shared_of(scalar, small_number(offset));
    EXPECT_NE(shared, "refused");
    EXPECT_EQ(shared_of(scalar, prime_plus(offset)), shared) << int{offset};
  }
}

TEST(X25519, TopBitOfACoordinateIsIgnored) {
  SeededBytes random(5);
  for (int repetition = 0; repetition < 50; ++repetition) {
    Bytes32 scalar;
    Bytes32 point;
    copy_bytes(random(32), scalar);
    copy_bytes(random(32), point);
    Bytes32 flipped = point;
    flipped[31] ^= 0x80;
    EXPECT_EQ(shared_of(scalar, flipped), shared_of(scalar, point));
  }
}

TEST(X25519, ScalarIsClampedWhereverItIsUsed) {
  SeededBytes random(6);
  for (int repetition = 0; repetition < 50; ++repetition) {
    Bytes32 scalar;
    copy_bytes(random(32), scalar);
    Bytes32 clamped = scalar;
    clamp(clamped);
    EXPECT_EQ(clamped[0] & 7, 0);
    EXPECT_EQ(clamped[31] & 0xc0, 0x40);
    EXPECT_EQ(clamped[0] >> 3, scalar[0] >> 3);
    EXPECT_EQ(clamped[31] & 0x3f, scalar[31] & 0x3f);
    EXPECT_TRUE(std::equal(clamped.begin() + 1, clamped.end() - 1, scalar.begin() + 1));
    EXPECT_EQ(derive_public_key(clamped), derive_public_key(scalar));
  }
}

std::string openssl_shared(const Bytes32& private_key, const Bytes32& public_key) {
  EVP_PKEY* ours =
      EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, private_key.data(), private_key.size());
  EVP_PKEY* theirs =
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, public_key.data(), public_key.size());
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(ours, nullptr);
  Bytes32 shared;
  size_t length = shared.size();
  const bool derived = EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, theirs) == 1 &&
                       EVP_PKEY_derive(context, shared.data(), &length) == 1;
  EVP_PKEY_CTX_free(context);
  EVP_PKEY_free(theirs);
  EVP_PKEY_free(ours);
  return derived ? to_hex(shared) : "refused";
}

TEST(X25519, AgreesWithOpenssl) {
  SeededBytes random(8);
  for (int repetition = 0; repetition < 500; ++repetition) {
    Bytes32 scalar;
    Bytes32 point;
    copy_bytes(random(32), scalar);
    copy_bytes(random(32), point);
    ASSERT_EQ(shared_of(scalar, point), openssl_shared(scalar, point))
        << to_hex(scalar) << " " << to_hex(point);
  }
  for (uint8_t offset = 0; offset <= 18; ++offset) {
    Bytes32 scalar;
    copy_bytes(random(32), scalar);
    EXPECT_EQ(shared_of(scalar, prime_plus(offset)), openssl_shared(scalar, prime_plus(offset)))
        << int{offset};
    EXPECT_EQ(shared_of(scalar, small_number(offset)), openssl_shared(scalar, small_number(offset)))
        << int{offset};
  }
}

}  // namespace
}  // namespace vpn::crypto
