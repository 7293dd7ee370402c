// Authenticated encryption behind one small interface, so that the same core runs on libsodium, OpenSSL or
// intel-ipsec-mb, whichever is the fastest that this processor has and that passed its self-test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "vpn/base/bytes.h"
#include "vpn/base/ids.h"
#include "vpn/base/secret.h"

namespace vpn::crypto {

inline constexpr size_t kKeyBytes = 32;
inline constexpr size_t kTagBytes = 16;

using AeadSecret = Secret<kKeyBytes>;

// The cipher of a session. Both take a 32-byte key and a 16-byte tag; the 12-byte nonce is made from the
// counter as the Noise specification (section 12) says: ChaChaPoly 4 zero bytes ‖ LE64 counter, AESGCM 4 zero
// bytes ‖ BE64 counter.
enum class Suite : uint8_t { kChaCha20Poly1305, kAes256Gcm };
inline constexpr size_t kSuiteCount = 2;

[[nodiscard]] std::string_view suite_name(Suite suite) noexcept;  // "ChaCha20-Poly1305", "AES-256-GCM"

// A key prepared for one backend (its schedule, tables). Immutable after creation, so many threads may use it
// at once; wiped when destroyed. Use it only with an Aead of the backend that made it.
class AeadKey {
 public:
  virtual ~AeadKey() = default;
};

// One packet of a batch. `sealed` is ciphertext ‖ tag and 16 bytes longer than `plain`; the two may be the
// same memory (same start), or not overlap at all.
struct SealJob {
  Counter counter = 0;
  BytesView plain;
  MutableBytes sealed;
};
struct OpenJob {
  Counter counter = 0;
  BytesView sealed;
  MutableBytes plain;
  bool authentic = false;  // result
};

// One backend's implementation of one suite. An Aead object belongs to one thread at a time (a backend may
// keep scratch state in it); the keys may be shared.
class Aead {
 public:
  virtual ~Aead() = default;

  // The suite that its keys seal with.
  [[nodiscard]] virtual Suite suite() const noexcept = 0;
  [[nodiscard]] virtual std::string_view backend_name()
      const noexcept = 0;  // "libsodium", "openssl", "ipsec-mb"

  // A key made ready for sealing and opening; `secret` itself may go.
  [[nodiscard]] virtual std::unique_ptr<AeadKey> make_key(const AeadSecret& secret) noexcept = 0;

  // Encrypts `plain` into `sealed` (plain.size() + 16 bytes). `associated` is authenticated, not encrypted.
  virtual void seal(const AeadKey& key, Counter counter, BytesView associated, BytesView plain,
                    MutableBytes sealed) noexcept = 0;
  // Decrypts `sealed` into `plain` (sealed.size() - 16 bytes). False, and nothing of the plaintext left in
  // `plain`, when the tag does not verify or `sealed` is shorter than a tag; what it then holds is
  // unspecified (opened in place, the packet is gone too).
  [[nodiscard]] virtual bool open(const AeadKey& key, Counter counter, BytesView associated, BytesView sealed,
                                  MutableBytes plain) noexcept = 0;

  // Many packets under one key, without associated data. Backends that work on several packets at once
  // override these.
  virtual void seal_batch(const AeadKey& key, std::span<SealJob> jobs) noexcept {
    for (SealJob& job : jobs) seal(key, job.counter, {}, job.plain, job.sealed);
  }
  virtual void open_batch(const AeadKey& key, std::span<OpenJob> jobs) noexcept {
    for (OpenJob& job : jobs) job.authentic = open(key, job.counter, {}, job.sealed, job.plain);
  }
};

// The backends. The start-up selection prefers them in the order ipsec-mb, OpenSSL, libsodium
// (aead_select.cc).
enum class Backend : uint8_t { kIpsecMb, kLibsodium, kOpenssl };
inline constexpr size_t kBackendCount = 3;

// The backend's Aead for the suite; empty where this build or this processor has none.
[[nodiscard]] std::unique_ptr<Aead> make_aead(Backend backend, Suite suite) noexcept;

// The Aeads a Node or a worker uses, one per suite.
struct AeadSet {
  std::unique_ptr<Aead> chacha20_poly1305;
  std::unique_ptr<Aead> aes256_gcm;

  // The one for this suite.
  [[nodiscard]] Aead& of(Suite suite) const noexcept {
    return suite == Suite::kChaCha20Poly1305 ? *chacha20_poly1305 : *aes256_gcm;
  }
};

// The fastest backends that this processor has and that agree with another library on a known set of packets.
// Every call selects the same backends, so keys may be shared between the sets of several workers. Takes
// about a millisecond for the self-tests: call it once for each worker, not for each packet or peer. `only`
// restricts the choice to one backend (tests, comparisons); the others still serve what it does not have.
[[nodiscard]] AeadSet select_aeads(std::optional<Backend> only = std::nullopt) noexcept;

// XChaCha20-Poly1305 with a 24-byte nonce, as cookies use it. Sizes as for Aead.
inline constexpr size_t kXNonceBytes = 24;
void xchacha20_poly1305_seal(const AeadSecret& key, std::span<const uint8_t, kXNonceBytes> nonce,
                             BytesView associated, BytesView plain, MutableBytes sealed) noexcept;
[[nodiscard]] bool xchacha20_poly1305_open(const AeadSecret& key,
                                           std::span<const uint8_t, kXNonceBytes> nonce, BytesView associated,
                                           BytesView sealed, MutableBytes plain) noexcept;

}  // namespace vpn::crypto
