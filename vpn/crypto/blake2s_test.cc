// BLAKE2s against RFC 7693, and everything built from it against OpenSSL's own BLAKE2s, HMAC and HKDF. RFC
// 5869 prints vectors for SHA-1 and SHA-256 only, and RFC 7693's long self-test needs output lengths that the
// protocol has no use for; a second implementation over every length stands in for both.
#include "vpn/crypto/blake2s.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "vpn/crypto/test_support.h"

namespace vpn::crypto {
namespace {

using test::from_hex;
using test::SeededBytes;
using test::to_hex;

using Bytes = std::vector<uint8_t>;

BytesView view_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

OSSL_PARAM octets(const char* name, BytesView bytes) {
  static uint8_t nothing = 0;  // OpenSSL takes null for "not given", also where the length is zero
  return OSSL_PARAM_construct_octet_string(
      name, bytes.empty() ? &nothing : const_cast<uint8_t*>(bytes.data()), bytes.size());
}

std::string openssl_blake2s(BytesView message) {
  Hash hash;
  unsigned length = 0;
  VPN_CHECK(EVP_Digest(message.data(), message.size(), hash.data(), &length, EVP_blake2s256(), nullptr) == 1);
  return to_hex(hash);
}

std::string openssl_mac(const char* algorithm, const OSSL_PARAM* parameters, BytesView key,
                        BytesView message) {
  EVP_MAC* mac = EVP_MAC_fetch(nullptr, algorithm, nullptr);
  EVP_MAC_CTX* context = EVP_MAC_CTX_new(mac);
  const uint8_t nothing = 0;
  std::array<uint8_t, 64> out;
  size_t length = 0;
  VPN_CHECK(EVP_MAC_init(context, key.empty() ? &nothing : key.data(), key.size(), parameters) == 1);
  VPN_CHECK(EVP_MAC_update(context, message.data(), message.size()) == 1);
  VPN_CHECK(EVP_MAC_final(context, out.data(), &length, out.size()) == 1);
  EVP_MAC_CTX_free(context);
  EVP_MAC_free(mac);
  return to_hex(BytesView(out).first(length));
}

std::string openssl_mac16(BytesView key, BytesView message) {
  size_t size = kMacBytes;
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                                   OSSL_PARAM_construct_end()};
  return openssl_mac("BLAKE2SMAC", parameters, key, message);
}

std::string openssl_hmac(BytesView key, BytesView message) {
  char digest[] = "BLAKE2S-256";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                   OSSL_PARAM_construct_end()};
  return openssl_mac("HMAC", parameters, key, message);
}

// RFC 5869 with an empty info.
std::string openssl_hkdf(BytesView salt, BytesView input, size_t length) {
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  EVP_KDF_CTX* context = EVP_KDF_CTX_new(kdf);
  char digest[] = "BLAKE2S-256";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
                                   octets(OSSL_KDF_PARAM_SALT, salt), octets(OSSL_KDF_PARAM_KEY, input),
                                   OSSL_PARAM_construct_end()};
  Bytes out(length);
  VPN_CHECK(EVP_KDF_derive(context, out.data(), out.size(), parameters) == 1);
  EVP_KDF_CTX_free(context);
  EVP_KDF_free(kdf);
  return to_hex(out);
}

TEST(Blake2s, Rfc7693AppendixB) {
  EXPECT_EQ(to_hex(blake2s({view_of("abc")})),
            "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
}

// The chaining constants every WireGuard handshake starts from, as the wireguard.com protocol page builds
// them.
TEST(Blake2s, ConcatenatesItsParts) {
  EXPECT_EQ(blake2s({view_of("a"), {}, view_of("bc")}), blake2s({view_of("abc")}));
  EXPECT_EQ(blake2s({}), blake2s({view_of("")}));
  EXPECT_NE(blake2s({view_of("abc")}), blake2s({view_of("abd")}));
}

TEST(Blake2s, AgreesWithOpensslAtEveryLength) {
  SeededBytes random(1);
  for (size_t length = 0; length <= 300; ++length) {
    const Bytes message = random(length);
    const size_t split = random.below(length + 1);
    const BytesView front = BytesView(message).first(split);
    const BytesView back = BytesView(message).subspan(split);
    ASSERT_EQ(to_hex(blake2s({front, back})), openssl_blake2s(message)) << length << " split at " << split;
  }
}

TEST(Blake2sMac16, AgreesWithOpensslForEveryKeyLength) {
  SeededBytes random(2);
  for (size_t key_length = 1; key_length <= 32; ++key_length) {
    const Bytes key = random(key_length);
    for (const size_t length : {0u, 1u, 63u, 64u, 65u, 116u, 132u, 148u, 200u}) {
      const Bytes message = random(length);
      ASSERT_EQ(to_hex(blake2s_mac16(key, {message})), openssl_mac16(key, message))
          << key_length << " " << length;
    }
  }
}

TEST(Blake2sMac16, IsNotAShortenedHash) {
  const Bytes key(32, 1);
  const Mac mac = blake2s_mac16(key, {view_of("abc")});
  const Hash hash = blake2s({key, view_of("abc")});
  EXPECT_FALSE(std::equal(mac.begin(), mac.end(), hash.begin()));
}

TEST(Blake2sMac16DeathTest, KeyOfImpossibleLengthIsOurMistake) {
  EXPECT_DEATH((void)blake2s_mac16({}, {}), "invariant broken");
  EXPECT_DEATH((void)blake2s_mac16(Bytes(33), {}), "invariant broken");
}

TEST(HmacBlake2s, AgreesWithOpensslForKeysShorterAndLongerThanABlock) {
  SeededBytes random(3);
  for (size_t key_length = 0; key_length <= 140; ++key_length) {
    const Bytes key = random(key_length);
    const Bytes message = random(random.below(200));
    const size_t split = random.below(message.size() + 1);
    const ChainSecret ours =
        hmac_blake2s(key, {BytesView(message).first(split), BytesView(message).subspan(split)});
    ASSERT_EQ(to_hex(ours.view()), openssl_hmac(key, message)) << key_length;
  }
}

TEST(NoiseKdf, IsRfc5869WithAnEmptyInfo) {
  SeededBytes random(4);
  for (size_t length = 0; length <= 130; ++length) {
    const ChainSecret chain(fixed_view<kHashBytes>(random(kHashBytes)));
    const Bytes input = random(length);
    const Kdf2 two = kdf2(chain, input);
    const Kdf3 three = kdf3(chain, input);
    const std::string expected = openssl_hkdf(chain.view(), input, 3 * kHashBytes);
    ASSERT_EQ(to_hex(three.first.view()) + to_hex(three.second.view()) + to_hex(three.third.view()), expected)
        << length;
    EXPECT_EQ(to_hex(two.first.view()) + to_hex(two.second.view()), expected.substr(0, 4 * kHashBytes));
    EXPECT_EQ(to_hex(kdf1(chain, input).view()), expected.substr(0, 2 * kHashBytes));
  }
}

}  // namespace
}  // namespace vpn::crypto
