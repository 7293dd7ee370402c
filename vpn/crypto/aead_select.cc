#include "vpn/crypto/aead_select.h"

#include <algorithm>
#include <array>

#include "vpn/base/check.h"
#include "vpn/crypto/aead_backends.h"
#include "vpn/crypto/blake2s.h"
#include "vpn/crypto/initialize.h"

namespace vpn::crypto {
namespace {

// Every byte differs, so that a wrong byte order shows.
constexpr Counter kFirstCounter = 0x0102030405060708;

// Around the block sizes of the ciphers and of their vector code, and the sizes packets really have.
constexpr size_t kLengths[] = {0,   1,   15,  16,  17,  32,  63,   64,   65,   127,
                               128, 255, 256, 257, 511, 512, 1024, 1420, 1500, 2049};
constexpr size_t kLengthCount = std::size(kLengths);
constexpr size_t kLongest = 2049;

std::vector<uint8_t> counting_bytes(size_t count) noexcept {
  std::vector<uint8_t> bytes(count);
  for (size_t index = 0; index < count; ++index) bytes[index] = static_cast<uint8_t>(index);
  return bytes;
}

AeadSecret known_secret() noexcept {
  return AeadSecret(fixed_view<kKeyBytes>(counting_bytes(kKeyBytes)));
}

Counter known_counter(size_t length) noexcept {
  return kFirstCounter + length;
}

std::vector<uint8_t> known_associated(size_t length) noexcept {
  return counting_bytes(length % 33);
}

std::vector<uint8_t> seal_known_packet(Aead& aead, const AeadKey& key, size_t length) noexcept {
  std::vector<uint8_t> sealed(length + kTagBytes);
  aead.seal(key, known_counter(length), known_associated(length), counting_bytes(length), sealed);
  return sealed;
}

// BLAKE2s of the sealed packets of all lengths, one after the other, as known_answers.py computes it
// independently.
constexpr Hash kKnownChaCha20Poly1305 = {0x9e, 0xc0, 0x72, 0xc8, 0x41, 0xc7, 0x57, 0x99, 0xb1, 0x7c, 0x14,
                                         0x4c, 0x35, 0xe1, 0x1b, 0xda, 0x50, 0xad, 0x91, 0xe4, 0x9c, 0x72,
                                         0x4c, 0x43, 0xc6, 0x48, 0x4a, 0x97, 0xba, 0x81, 0x05, 0x03};
constexpr Hash kKnownAes256Gcm = {0xbd, 0xd2, 0x2e, 0xa0, 0x8e, 0x49, 0x14, 0xb2, 0x48, 0x0b, 0x1f,
                                  0xee, 0x4f, 0x03, 0x56, 0xc8, 0x1e, 0x5b, 0x50, 0x71, 0x4c, 0x43,
                                  0xf2, 0x32, 0x88, 0x25, 0x13, 0x48, 0x3a, 0x34, 0x9c, 0x4d};

bool gives_known_answer(Aead& aead) noexcept {
  const auto key = aead.make_key(known_secret());
  std::vector<uint8_t> all;
  for (const size_t length : kLengths) {
    const std::vector<uint8_t> sealed = seal_known_packet(aead, *key, length);
    all.insert(all.end(), sealed.begin(), sealed.end());
  }
  return blake2s({all}) ==
         (aead.suite() == Suite::kChaCha20Poly1305 ? kKnownChaCha20Poly1305 : kKnownAes256Gcm);
}

// `opener` opens what `sealer` sealed, and refuses it when anything of it is changed.
bool opens_only_intact(Aead& sealer, Aead& opener, size_t length) noexcept {
  const auto sealing_key = sealer.make_key(known_secret());
  const auto opening_key = opener.make_key(known_secret());
  const Counter counter = known_counter(length);
  const std::vector<uint8_t> associated = known_associated(length);
  std::vector<uint8_t> sealed = seal_known_packet(sealer, *sealing_key, length);
  std::vector<uint8_t> opened(length);
  if (!opener.open(*opening_key, counter, associated, sealed, opened) || opened != counting_bytes(length))
    return false;
  if (opener.open(*opening_key, counter + 1, associated, sealed, opened)) return false;
  if (!associated.empty() && opener.open(*opening_key, counter, {}, sealed, opened)) return false;
  for (const size_t spoiled : {size_t{0}, length, sealed.size() - 1}) {
    sealed[spoiled] ^= 0x80;
    if (opener.open(*opening_key, counter, associated, sealed, opened)) return false;
    sealed[spoiled] ^= 0x80;
  }
  return true;
}

// A batch of all lengths, sealed by `sealer` and opened by `opener` in place, one packet of it spoiled on the
// way.
bool batches_agree(Aead& sealer, Aead& opener) noexcept {
  constexpr size_t kSpoiled = kLengthCount / 2;
  const auto sealing_key = sealer.make_key(known_secret());
  const auto opening_key = opener.make_key(known_secret());
  const std::vector<uint8_t> plain = counting_bytes(kLongest);
  std::array<std::vector<uint8_t>, kLengthCount> buffers;
  std::array<SealJob, kLengthCount> seals;
  std::array<OpenJob, kLengthCount> opens;
  for (size_t index = 0; index < kLengthCount; ++index) {
    const size_t length = kLengths[index];
    buffers[index].resize(length + kTagBytes);
    const MutableBytes buffer = buffers[index];
    seals[index] = {.counter = index, .plain = BytesView(plain).first(length), .sealed = buffer};
    opens[index] = {.counter = index, .sealed = buffer, .plain = buffer.first(length)};
  }
  sealer.seal_batch(*sealing_key, seals);
  buffers[kSpoiled].back() ^= 1;
  opener.open_batch(*opening_key, opens);
  for (size_t index = 0; index < kLengthCount; ++index) {
    const bool intact = index != kSpoiled;
    if (opens[index].authentic != intact) return false;
    if (intact && !std::equal(opens[index].plain.begin(), opens[index].plain.end(), plain.begin()))
      return false;
  }
  return true;
}

bool works_with(Aead& sealer, Aead& opener) noexcept {
  return std::all_of(std::begin(kLengths), std::end(kLengths),
                     [&](size_t length) { return opens_only_intact(sealer, opener, length); }) &&
         batches_agree(sealer, opener);
}

// The order of preference: the fastest first at full packets in batches, as vpn_crypto_bench measured them.
constexpr std::array<Backend, kBackendCount> kPreference = {Backend::kIpsecMb, Backend::kOpenssl,
                                                            Backend::kLibsodium};

// `first`, when given, and then all others but `without`, by preference.
std::vector<std::unique_ptr<Aead>> make_candidates(Suite suite, std::optional<Backend> first,
                                                   std::optional<Backend> without) noexcept {
  std::vector<std::unique_ptr<Aead>> made;
  if (first) made.push_back(make_aead(*first, suite));
  for (const Backend backend : kPreference) {
    if (backend != first && backend != without) made.push_back(make_aead(backend, suite));
  }
  return made;
}

// The first one, where it is sound and another agrees; else null.
std::unique_ptr<Aead> first_if_confirmed(std::vector<std::unique_ptr<Aead>> candidates) noexcept {
  std::erase(candidates, nullptr);
  if (candidates.size() < 2 || !std::ranges::all_of(candidates, [](auto& one) { return is_sound(*one); }))
    return nullptr;
  const bool confirmed = std::any_of(candidates.begin() + 1, candidates.end(),
                                     [&](const auto& other) { return agree(*candidates.front(), *other); });
  return confirmed ? std::move(candidates.front()) : nullptr;
}

std::unique_ptr<Aead> select(Suite suite, std::optional<Backend> only) noexcept {
  // Where the others do, OpenSSL is not touched: to have computed once is a megabyte to it.
  auto chosen = first_if_confirmed(make_candidates(suite, only, Backend::kOpenssl));
  if (chosen == nullptr) chosen = first_trusted(make_candidates(suite, only, std::nullopt));
  VPN_CHECK(chosen !=
            nullptr);  // no library computes this suite correctly on this machine: nothing can be encrypted
  return chosen;
}

}  // namespace

bool is_sound(Aead& aead) noexcept {
  return gives_known_answer(aead) && works_with(aead, aead);
}

bool agree(Aead& one, Aead& other) noexcept {
  return works_with(one, other) && works_with(other, one);
}

std::unique_ptr<Aead> first_trusted(std::vector<std::unique_ptr<Aead>> candidates) noexcept {
  std::erase_if(candidates, [](const auto& aead) { return aead == nullptr || !is_sound(*aead); });
  if (candidates.size() == 1) return std::move(candidates.front());
  for (auto& candidate : candidates) {
    const bool confirmed = std::any_of(candidates.begin(), candidates.end(), [&](const auto& other) {
      return other != candidate && agree(*candidate, *other);
    });
    if (confirmed) return std::move(candidate);
  }
  return nullptr;
}

std::unique_ptr<Aead> make_aead(Backend backend, Suite suite) noexcept {
  initialize();
  switch (backend) {
    case Backend::kIpsecMb:
      return make_ipsec_mb_aead(suite);
    case Backend::kLibsodium:
      return make_sodium_aead(suite);
    case Backend::kOpenssl:
      return make_openssl_aead(suite);
  }
  return nullptr;
}

AeadSet select_aeads(std::optional<Backend> only) noexcept {
  return {.chacha20_poly1305 = select(Suite::kChaCha20Poly1305, only),
          .aes256_gcm = select(Suite::kAes256Gcm, only)};
}

}  // namespace vpn::crypto
