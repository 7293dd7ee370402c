// X25519 and the Noise KDF with a memory of their answers, put in front of the real ones by the linker
// (--wrap). A fuzzer runs the same handshakes in execution after execution, since its randomness is seeded:
// remembered, an answer costs a look-up instead of 40 µs and of 3 µs. The answers stay the real functions'
// own, so nothing is weaker than without; hashes, MACs and AEADs are computed each time.
#include <sodium.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "fuzz/memo.h"
#include "vpn/base/endian.h"
#include "vpn/crypto/blake2s.h"

extern "C" {
int __real_crypto_scalarmult_curve25519(unsigned char* q, const unsigned char* n, const unsigned char* p);
int __wrap_crypto_scalarmult_curve25519(unsigned char* q, const unsigned char* n, const unsigned char* p);
int __real_crypto_scalarmult_curve25519_base(unsigned char* q, const unsigned char* n);
int __wrap_crypto_scalarmult_curve25519_base(unsigned char* q, const unsigned char* n);
}

namespace vpn::crypto {

// The linker knows these by their mangled names: a change of the signatures shows as a real one that is not
// there.
#define KDF_NAME(prefix, number) \
  __asm__(prefix "_ZN3vpn6crypto4kdf" number "ERKNS_6SecretILm32EEESt4spanIKhLm18446744073709551615EE")
ChainSecret real_kdf1(const ChainSecret& chain, BytesView input) noexcept KDF_NAME("__real_", "1");
Kdf2 real_kdf2(const ChainSecret& chain, BytesView input) noexcept KDF_NAME("__real_", "2");
Kdf3 real_kdf3(const ChainSecret& chain, BytesView input) noexcept KDF_NAME("__real_", "3");
ChainSecret memo_kdf1(const ChainSecret& chain, BytesView input) noexcept KDF_NAME("__wrap_", "1");
Kdf2 memo_kdf2(const ChainSecret& chain, BytesView input) noexcept KDF_NAME("__wrap_", "2");
Kdf3 memo_kdf3(const ChainSecret& chain, BytesView input) noexcept KDF_NAME("__wrap_", "3");
#undef KDF_NAME

}  // namespace vpn::crypto

namespace {

using Question = vpn::fuzz::Question;
using vpn::fuzz::Memo;

struct Product {
  int status = 0;
  std::array<uint8_t, 32> point{};
};

int multiplied(unsigned char* q, const Question& question, int (*compute)(uint8_t*, const Question&)) {
  static Memo<Product> memo;
  const Product& product = memo.remembered(question, [&] {
    Product computed;
    computed.status = compute(computed.point.data(), question);
    return computed;
  });
  if (product.status == 0) std::memcpy(q, product.point.data(), product.point.size());
  return product.status;
}

template <typename Derived>
Derived derived(const vpn::crypto::ChainSecret& chain, vpn::BytesView input,
                Derived (*compute)(const vpn::crypto::ChainSecret&, vpn::BytesView) noexcept) {
  static Memo<Derived> memo;
  if (input.size() > 32) return compute(chain, input);  // no handshake has such an input
  Question question{};
  vpn::copy_bytes(chain.view(), question);
  vpn::copy_bytes(input, vpn::MutableBytes(question).subspan(32));
  vpn::store_le(&question[64], uint64_t{input.size()});
  return memo.remembered(question, [&] { return compute(chain, input); });
}

}  // namespace

int __wrap_crypto_scalarmult_curve25519(unsigned char* q, const unsigned char* n, const unsigned char* p) {
  // A point of zeros in the memory stands for the base point.
  if (sodium_is_zero(p, 32) == 1) return __real_crypto_scalarmult_curve25519(q, n, p);
  Question question{};
  std::memcpy(question.data(), n, 32);
  std::memcpy(question.data() + 32, p, 32);
  return multiplied(q, question, [](uint8_t* out, const Question& of) {
    return __real_crypto_scalarmult_curve25519(out, of.data(), of.data() + 32);
  });
}

int __wrap_crypto_scalarmult_curve25519_base(unsigned char* q, const unsigned char* n) {
  Question question{};
  std::memcpy(question.data(), n, 32);
  return multiplied(q, question, [](uint8_t* out, const Question& of) {
    return __real_crypto_scalarmult_curve25519_base(out, of.data());
  });
}

namespace vpn::crypto {

ChainSecret memo_kdf1(const ChainSecret& chain, BytesView input) noexcept {
  return derived(chain, input, real_kdf1);
}
Kdf2 memo_kdf2(const ChainSecret& chain, BytesView input) noexcept {
  return derived(chain, input, real_kdf2);
}
Kdf3 memo_kdf3(const ChainSecret& chain, BytesView input) noexcept {
  return derived(chain, input, real_kdf3);
}

}  // namespace vpn::crypto
