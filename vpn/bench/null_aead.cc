// Takes the place of vpn/crypto/aead_select.cc when the program of plaintext_daemon.cc is linked: the linker
// takes these definitions and leaves the library's file out. So the data path is ours to the last
// instruction, and no configuration of `vpn daemon` can lead here, for it does not contain this.
#include <cstring>

#include "vpn/base/check.h"
#include "vpn/crypto/aead.h"

namespace vpn::crypto {
namespace {

// "Encrypts" to the same bytes and a tag of zeros, and accepts every tag.
class NullAead final : public Aead {
 public:
  explicit NullAead(Suite suite) noexcept : suite_(suite) {}

  [[nodiscard]] Suite suite() const noexcept override { return suite_; }
  [[nodiscard]] std::string_view backend_name() const noexcept override { return "no cryptography"; }
  [[nodiscard]] std::unique_ptr<AeadKey> make_key(const AeadSecret& /*secret*/) noexcept override {
    return std::make_unique<AeadKey>();
  }

  void seal(const AeadKey& /*key*/, Counter /*counter*/, BytesView /*associated*/, BytesView plain,
            MutableBytes sealed) noexcept override {
    VPN_CHECK(sealed.size() == plain.size() + kTagBytes);
    if (sealed.data() != plain.data()) copy_bytes(plain, sealed);
    std::memset(sealed.data() + plain.size(), 0, kTagBytes);
  }

  bool open(const AeadKey& /*key*/, Counter /*counter*/, BytesView /*associated*/, BytesView sealed,
            MutableBytes plain) noexcept override {
    if (sealed.size() < kTagBytes) return false;
    if (sealed.data() != plain.data()) copy_bytes(sealed.first(plain.size()), plain);
    return true;
  }

 private:
  Suite suite_;
};

}  // namespace

AeadSet select_aeads(std::optional<Backend> /*only*/) noexcept {
  return {.chacha20_poly1305 = std::make_unique<NullAead>(Suite::kChaCha20Poly1305),
          .aes256_gcm = std::make_unique<NullAead>(Suite::kAes256Gcm)};
}

}  // namespace vpn::crypto
