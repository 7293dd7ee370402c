// What the tests of vpn/crypto share: hex, seeded bytes, an oracle, and buffers that end at a guard page.
#pragma once

#include <openssl/evp.h>
#include <sodium.h>

#include <array>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "vpn/base/check.h"
#include "vpn/crypto/aead.h"

namespace vpn::crypto::test {

inline std::vector<uint8_t> from_hex(std::string_view hex) {
  if (hex.empty()) return {};
  std::vector<uint8_t> bytes(hex.size() / 2);
  size_t length = 0;
  VPN_CHECK(sodium_hex2bin(bytes.data(), bytes.size(), hex.data(), hex.size(), " \n", &length, nullptr) == 0);
  bytes.resize(length);
  return bytes;
}

inline std::string to_hex(BytesView bytes) {
  std::string hex(bytes.size() * 2 + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), bytes.data(), bytes.size());
  hex.pop_back();
  return hex;
}

inline std::vector<uint8_t> to_vector(BytesView bytes) {
  return {bytes.begin(), bytes.end()};
}

// Bytes that depend on the seed alone.
class SeededBytes {
 public:
  explicit SeededBytes(uint64_t seed) : engine_(seed) {}
  std::vector<uint8_t> operator()(size_t count) {
    std::vector<uint8_t> bytes(count);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(engine_());
    return bytes;
  }
  size_t below(size_t limit) { return engine_() % limit; }

 private:
  std::mt19937_64 engine_;
};

// The packet as the Noise specification writes it down, in the plainest use of OpenSSL: a new context for
// every packet, the nonce put together byte by byte. The oracle of every backend.
inline std::vector<uint8_t> oracle_seal(Suite suite, const AeadSecret& secret, Counter counter,
                                        BytesView associated, BytesView plain) {
  const bool chacha = suite == Suite::kChaCha20Poly1305;
  std::array<uint8_t, 12> nonce{};
  for (unsigned index = 0; index < 8; ++index) {
    nonce[chacha ? 4 + index : 11 - index] = static_cast<uint8_t>(counter >> (8 * index));
  }
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  std::vector<uint8_t> sealed(plain.size() + kTagBytes);
  int written = 0;
  VPN_CHECK(EVP_EncryptInit_ex(context, chacha ? EVP_chacha20_poly1305() : EVP_aes_256_gcm(), nullptr,
                               secret.view().data(), nonce.data()) == 1);
  if (!associated.empty()) {
    VPN_CHECK(EVP_EncryptUpdate(context, nullptr, &written, associated.data(),
                                static_cast<int>(associated.size())) == 1);
  }
  if (!plain.empty()) {
    VPN_CHECK(EVP_EncryptUpdate(context, sealed.data(), &written, plain.data(),
                                static_cast<int>(plain.size())) == 1);
  }
  VPN_CHECK(EVP_EncryptFinal_ex(context, sealed.data() + plain.size(), &written) == 1 && written == 0);
  VPN_CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagBytes, sealed.data() + plain.size()) ==
            1);
  EVP_CIPHER_CTX_free(context);
  return sealed;
}

// Memory that ends where a page begins that nobody may touch: whoever reads or writes past last(count) ends
// the process, vector code and assembler too, which no sanitizer sees.
class GuardedMemory {
 public:
  explicit GuardedMemory(size_t size) : data_(static_cast<uint8_t*>(sodium_malloc(size))), size_(size) {
    VPN_CHECK(data_ != nullptr);
  }
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;
  ~GuardedMemory() { sodium_free(data_); }

  [[nodiscard]] MutableBytes last(size_t count) noexcept { return MutableBytes(data_, size_).last(count); }
  // A copy of `bytes` that ends at the guard.
  [[nodiscard]] BytesView copy_of(BytesView bytes) noexcept {
    copy_bytes(bytes, last(bytes.size()));
    return last(bytes.size());
  }

 private:
  uint8_t* data_;
  size_t size_;
};

// Every suite of every backend, by name for test names; those that this machine lacks are skipped by the
// tests.
struct BackendSuite {
  Backend backend;
  Suite suite;
};

inline constexpr Backend kBackends[] = {Backend::kIpsecMb, Backend::kLibsodium, Backend::kOpenssl};
inline constexpr Suite kSuites[] = {Suite::kChaCha20Poly1305, Suite::kAes256Gcm};

inline std::string name_of(Backend backend) {
  switch (backend) {
    case Backend::kIpsecMb:
      return "IpsecMb";
    case Backend::kLibsodium:
      return "Libsodium";
    case Backend::kOpenssl:
      return "Openssl";
  }
  return "";
}

inline std::string name_of(Suite suite) {
  return suite == Suite::kChaCha20Poly1305 ? "ChaCha20Poly1305" : "Aes256Gcm";
}

inline std::vector<BackendSuite> all_backend_suites() {
  std::vector<BackendSuite> all;
  for (const Suite suite : kSuites) {
    for (const Backend backend : kBackends) all.push_back({backend, suite});
  }
  return all;
}

inline std::string name_of(const BackendSuite& which) {
  return name_of(which.backend) + name_of(which.suite);
}

}  // namespace vpn::crypto::test
