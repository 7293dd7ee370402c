#include "vpn/crypto/blake2s.h"

#include <blake2.h>

#include "vpn/base/check.h"

namespace vpn::crypto {
namespace {

constexpr size_t kBlockBytes = 64;

void update(blake2s_state& state, std::initializer_list<BytesView> parts) noexcept {
  for (const BytesView part : parts) {
    if (!part.empty()) VPN_CHECK(blake2s_update(&state, part.data(), part.size()) == 0);
  }
}

void hash_parts(std::span<uint8_t, kHashBytes> out, BytesView first,
                std::initializer_list<BytesView> parts) noexcept {
  blake2s_state state;
  VPN_CHECK(blake2s_init(&state, kHashBytes) == 0);
  update(state, {first});
  update(state, parts);
  VPN_CHECK(blake2s_final(&state, out.data(), out.size()) == 0);
  wipe({reinterpret_cast<uint8_t*>(&state), sizeof state});
}

}  // namespace

Hash blake2s(std::initializer_list<BytesView> parts) noexcept {
  Hash out;
  hash_parts(out, {}, parts);
  return out;
}

Mac blake2s_mac16(BytesView key, std::initializer_list<BytesView> parts) noexcept {
  Mac out;
  blake2s_state state;
  VPN_CHECK(blake2s_init_key(&state, out.size(), key.data(), key.size()) == 0);
  update(state, parts);
  VPN_CHECK(blake2s_final(&state, out.data(), out.size()) == 0);
  wipe({reinterpret_cast<uint8_t*>(&state), sizeof state});
  return out;
}

ChainSecret hmac_blake2s(BytesView key, std::initializer_list<BytesView> parts) noexcept {
  Secret<kBlockBytes> block;
  if (key.size() > kBlockBytes) {
    hash_parts(block.mutable_view().first<kHashBytes>(), key, {});
  } else {
    copy_bytes(key, block.mutable_view());
  }
  constexpr uint8_t kInnerPad = 0x36;
  constexpr uint8_t kOuterPad = 0x5c;
  for (uint8_t& byte : block.mutable_view()) byte ^= kInnerPad;
  ChainSecret inner;
  hash_parts(inner.mutable_view(), block.view(), parts);
  for (uint8_t& byte : block.mutable_view()) byte ^= kInnerPad ^ kOuterPad;
  ChainSecret outer;
  hash_parts(outer.mutable_view(), block.view(), {inner.view()});
  return outer;
}

ChainSecret kdf1(const ChainSecret& chain, BytesView input) noexcept {
  const ChainSecret extracted = hmac_blake2s(chain.view(), {input});
  const uint8_t one[] = {1};
  return hmac_blake2s(extracted.view(), {one});
}

Kdf2 kdf2(const ChainSecret& chain, BytesView input) noexcept {
  const ChainSecret extracted = hmac_blake2s(chain.view(), {input});
  const uint8_t one[] = {1};
  const uint8_t two[] = {2};
  Kdf2 out;
  out.first = hmac_blake2s(extracted.view(), {one});
  out.second = hmac_blake2s(extracted.view(), {out.first.view(), two});
  return out;
}

Kdf3 kdf3(const ChainSecret& chain, BytesView input) noexcept {
  const ChainSecret extracted = hmac_blake2s(chain.view(), {input});
  const uint8_t one[] = {1};
  const uint8_t two[] = {2};
  const uint8_t three[] = {3};
  Kdf3 out;
  out.first = hmac_blake2s(extracted.view(), {one});
  out.second = hmac_blake2s(extracted.view(), {out.first.view(), two});
  out.third = hmac_blake2s(extracted.view(), {out.second.view(), three});
  return out;
}

}  // namespace vpn::crypto
