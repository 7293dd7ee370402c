// The cryptographic wrappers against one another and against OpenSSL's own: every backend of a suite seals to
// the same bytes, alone, in place and in a batch, opens them again, and refuses every change without leaving
// plaintext behind; BLAKE2s, its MAC, HMAC and HKDF, and X25519 give what OpenSSL gives.
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "fuzz/input.h"
#include "vpn/base/check.h"
#include "vpn/crypto/aead.h"
#include "vpn/crypto/blake2s.h"
#include "vpn/crypto/initialize.h"
#include "vpn/crypto/x25519.h"

namespace vpn {
namespace {

using Bytes = std::vector<uint8_t>;

const std::vector<crypto::Aead*>& backends(crypto::Suite suite) {
  const auto make = [](crypto::Suite which) {
    crypto::initialize();
    auto* const all = new std::vector<crypto::Aead*>();
    for (const auto backend :
         {crypto::Backend::kIpsecMb, crypto::Backend::kLibsodium, crypto::Backend::kOpenssl}) {
      if (auto aead = crypto::make_aead(backend, which)) all->push_back(aead.release());
    }
    return all;
  };
  static const auto* const chacha = make(crypto::Suite::kChaCha20Poly1305);
  static const auto* const aes = make(crypto::Suite::kAes256Gcm);
  return suite == crypto::Suite::kAes256Gcm ? *aes : *chacha;
}

Bytes taken(BytesView bytes) {
  return {bytes.begin(), bytes.end()};
}

bool equal(BytesView a, BytesView b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// Whether `bytes` shows the plaintext. Of one that is short or all zeros that cannot be said.
bool shows(BytesView bytes, BytesView plain) {
  const bool telling =
      plain.size() >= 8 && std::any_of(plain.begin(), plain.end(), [](uint8_t b) { return b != 0; });
  return telling && equal(bytes, plain);
}

// Refused, and the plaintext is not there.
void check_refused(crypto::Aead& aead, const crypto::AeadKey& key, Counter counter, BytesView associated,
                   const Bytes& sealed, const Bytes& plain) {
  Bytes opened(plain.size(), 0x11);
  VPN_CHECK(!aead.open(key, counter, associated, sealed, opened));
  VPN_CHECK(!shows(opened, plain));
}

void check_forgeries(crypto::Aead& aead, const crypto::AeadKey& key, Counter counter, const Bytes& associated,
                     const Bytes& sealed, const Bytes& plain, uint16_t where) {
  Bytes changed = sealed;
  changed[where % changed.size()] ^= static_cast<uint8_t>(1u << where % 8);
  check_refused(aead, key, counter, associated, changed, plain);
  check_refused(aead, key, counter + 1, associated, sealed, plain);
  Bytes more = associated;
  more.push_back(0);
  check_refused(aead, key, counter, more, sealed, plain);
  Bytes none;
  VPN_CHECK(!aead.open(key, counter, associated, BytesView(sealed).first(where % 16), none));
}

// The batch functions take no associated data: three packets, one of them forged.
void check_batch(crypto::Aead& aead, const crypto::AeadKey& key, Counter counter, const Bytes& plain,
                 uint16_t where) {
  std::array<Bytes, 3> sealed;
  std::array<crypto::SealJob, 3> seals;
  for (size_t at = 0; at < 3; ++at) {
    sealed[at].resize(plain.size() - plain.size() * at / 3 + 16);
    seals[at] = {counter + at, BytesView(plain).first(sealed[at].size() - 16), sealed[at]};
  }
  aead.seal_batch(key, seals);
  std::array<Bytes, 3> opened;
  std::array<crypto::OpenJob, 3> opens;
  const size_t forged = where % 4;
  for (size_t at = 0; at < 3; ++at) {
    Bytes alone(sealed[at].size());
    aead.seal(key, counter + at, {}, seals[at].plain, alone);
    VPN_CHECK(alone == sealed[at]);
    if (at == forged) sealed[at][where / 4 % sealed[at].size()] ^= 0x20;
    opened[at].resize(sealed[at].size() - 16);
    opens[at] = {counter + at, sealed[at], opened[at], false};
  }
  aead.open_batch(key, opens);
  for (size_t at = 0; at < 3; ++at) {
    VPN_CHECK(opens[at].authentic == (at != forged));
    VPN_CHECK(at == forged ? !shows(opened[at], seals[at].plain) : equal(opened[at], seals[at].plain));
  }
}

void check_aead(fuzz::Input& input, crypto::Suite suite) {
  Secret<32> secret;
  input.fill(secret.mutable_view());
  const auto counter = input.take<uint64_t>();
  const auto where = input.take<uint16_t>();
  const Bytes associated = taken(input.bytes(input.take<uint8_t>() % 64u));
  Bytes plain(input.take<uint16_t>() % 2048u);
  input.fill(plain);

  Bytes first;
  for (crypto::Aead* const aead : backends(suite)) {
    const auto key = aead->make_key(secret);
    Bytes sealed(plain.size() + 16);
    aead->seal(*key, counter, associated, plain, sealed);
    if (first.empty()) first = sealed;
    VPN_CHECK(sealed == first);
    Bytes in_place = plain;
    in_place.resize(plain.size() + 16);
    aead->seal(*key, counter, associated, BytesView(in_place).first(plain.size()), in_place);
    VPN_CHECK(in_place == sealed);
    VPN_CHECK(aead->open(*key, counter, associated, in_place, MutableBytes(in_place).first(plain.size())));
    VPN_CHECK(std::equal(plain.begin(), plain.end(), in_place.begin()));
    check_forgeries(*aead, *key, counter, associated, sealed, plain, where);
    check_batch(*aead, *key, counter, plain, where);
  }
}

void check_xchacha(fuzz::Input& input) {
  Secret<32> key;
  input.fill(key.mutable_view());
  std::array<uint8_t, 24> nonce;
  input.fill(nonce);
  const Bytes plain = taken(input.bytes(16));
  const Bytes associated = taken(input.bytes(16));
  Bytes sealed(plain.size() + 16);
  Bytes opened(plain.size());
  crypto::xchacha20_poly1305_seal(key, nonce, associated, plain, sealed);
  VPN_CHECK(crypto::xchacha20_poly1305_open(key, nonce, associated, sealed, opened) && opened == plain);
  sealed.back() ^= 1;
  VPN_CHECK(!crypto::xchacha20_poly1305_open(key, nonce, associated, sealed, opened));
  sealed.back() ^= 1;
  nonce[input.take<uint8_t>() % 24u] ^= 1;
  VPN_CHECK(!crypto::xchacha20_poly1305_open(key, nonce, associated, sealed, opened));
}

// ── OpenSSL's ──

Bytes openssl_blake2s(BytesView data) {
  Bytes hash(32);
  unsigned size = 0;
  VPN_CHECK(EVP_Digest(data.data(), data.size(), hash.data(), &size, EVP_blake2s256(), nullptr) == 1 &&
            size == 32);
  return hash;
}

Bytes openssl_blake2s_mac16(BytesView key, BytesView data) {
  static EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "BLAKE2SMAC", nullptr);
  const std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)> context(EVP_MAC_CTX_new(mac),
                                                                          EVP_MAC_CTX_free);
  size_t wanted = 16;
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &wanted),
                                   OSSL_PARAM_construct_end()};
  Bytes out(16);
  size_t size = 0;
  VPN_CHECK(EVP_MAC_init(context.get(), key.data(), key.size(), parameters) == 1);
  VPN_CHECK(EVP_MAC_update(context.get(), data.data(), data.size()) == 1);
  VPN_CHECK(EVP_MAC_final(context.get(), out.data(), &size, out.size()) == 1 && size == 16);
  return out;
}

Bytes openssl_hmac(BytesView key, BytesView data) {
  Bytes out(32);
  unsigned size = 0;
  if (key.empty()) key = BytesView(out).first(0);  // OpenSSL takes a null pointer for "the key from before"
  VPN_CHECK(HMAC(EVP_blake2s256(), key.data(), static_cast<int>(key.size()), data.data(), data.size(),
                 out.data(), &size) != nullptr);
  VPN_CHECK(size == 32);
  return out;
}

void check_hashes(fuzz::Input& input) {
  Secret<32> chain;
  input.fill(chain.mutable_view());
  const Bytes key = taken(input.bytes(1 + input.take<uint8_t>() % 32u));
  const Bytes data = taken(input.bytes(input.take<uint16_t>() % 512u));
  const size_t cut = data.empty() ? 0 : input.take<uint16_t>() % data.size();
  const BytesView head = BytesView(data).first(cut);
  const BytesView tail = BytesView(data).subspan(cut);
  VPN_CHECK(equal(crypto::blake2s({head, tail}), openssl_blake2s(data)));
  if (!key.empty())
    VPN_CHECK(equal(crypto::blake2s_mac16(key, {head, tail}), openssl_blake2s_mac16(key, data)));
  VPN_CHECK(equal(crypto::hmac_blake2s(key, {head, tail}).view(), openssl_hmac(key, data)));

  // RFC 5869 with an empty info.
  const Bytes extracted = openssl_hmac(chain.view(), data);
  Bytes block = openssl_hmac(extracted, std::array<uint8_t, 1>{1});
  VPN_CHECK(equal(crypto::kdf1(chain, data).view(), block));
  const crypto::Kdf2 two = crypto::kdf2(chain, data);
  const crypto::Kdf3 three = crypto::kdf3(chain, data);
  VPN_CHECK(equal(two.first.view(), block) && equal(three.first.view(), block));
  block.push_back(2);
  block = openssl_hmac(extracted, block);
  VPN_CHECK(equal(two.second.view(), block) && equal(three.second.view(), block));
  block.push_back(3);
  VPN_CHECK(equal(three.third.view(), openssl_hmac(extracted, block)));
}

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

void check_x25519(fuzz::Input& input) {
  std::array<uint8_t, 32> scalar;
  PublicKey point;
  input.fill(scalar);
  input.fill(point.bytes);
  crypto::clamp(scalar);
  VPN_CHECK(scalar[0] % 8 == 0 && scalar[31] >> 6 == 1);
  const std::unique_ptr<EVP_PKEY, FreeKey> own(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, scalar.data(), 32));
  const std::unique_ptr<EVP_PKEY, FreeKey> other(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, point.bytes.data(), 32));
  PublicKey expected_public;
  size_t size = 32;
  VPN_CHECK(EVP_PKEY_get_raw_public_key(own.get(), expected_public.bytes.data(), &size) == 1);
  VPN_CHECK(crypto::derive_public_key(scalar) == expected_public);

  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new(own.get(), nullptr), EVP_PKEY_CTX_free);
  std::array<uint8_t, 32> expected{};
  VPN_CHECK(EVP_PKEY_derive_init(context.get()) == 1 &&
            EVP_PKEY_derive_set_peer(context.get(), other.get()) == 1);
  const bool usable = EVP_PKEY_derive(context.get(), expected.data(), &size) == 1;
  crypto::SharedSecret shared;
  VPN_CHECK(crypto::x25519(scalar, point, shared) == usable);
  VPN_CHECK(usable ? equal(shared.view(), expected) : shared.is_zero());
}

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  fuzz::Input input({data, size});
  switch (input.take<uint8_t>() % 5) {
    case 0:
      check_aead(input, crypto::Suite::kChaCha20Poly1305);
      break;
    case 1:
      check_aead(input, crypto::Suite::kAes256Gcm);
      break;
    case 2:
      check_xchacha(input);
      break;
    case 3:
      check_hashes(input);
      break;
    default:
      check_x25519(input);
      break;
  }
  return 0;
}
