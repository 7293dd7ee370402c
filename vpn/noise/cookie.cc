#include "vpn/noise/cookie.h"

#include "vpn/base/check.h"
#include "vpn/base/endian.h"

namespace vpn::noise {

void write_macs(MutableBytes message, const crypto::Hash& receiver_mac1_key, const Cookie* cookie) noexcept {
  VPN_CHECK(message.size() > wire::kMacsBytes);
  const MutableBytes macs = message.last(wire::kMacsBytes);
  copy_bytes(crypto::blake2s_mac16(receiver_mac1_key, {wire::mac1_covered(message)}), macs);
  crypto::Mac mac2{};
  if (cookie != nullptr) mac2 = crypto::blake2s_mac16(cookie->view(), {wire::mac2_covered(message)});
  copy_bytes(mac2, macs.last(wire::kMacBytes));
}

bool verify_mac1(BytesView message, const crypto::Hash& own_mac1_key) noexcept {
  const crypto::Mac expected = crypto::blake2s_mac16(own_mac1_key, {wire::mac1_covered(message)});
  return equal_constant_time(expected, message.last(wire::kMacsBytes).first(wire::kMacBytes));
}

bool verify_mac2(BytesView message, const Cookie& cookie) noexcept {
  const crypto::Mac expected = crypto::blake2s_mac16(cookie.view(), {wire::mac2_covered(message)});
  return equal_constant_time(expected, message.last(wire::kMacBytes));
}

Cookie make_cookie(const Secret<32>& secret, const UdpAddress& source) noexcept {
  std::array<uint8_t, sizeof(uint16_t)> port;
  store_be(port.data(), source.port);
  return Cookie(crypto::blake2s_mac16(secret.view(), {source.address.bytes(), port}));
}

void create_cookie_reply(const crypto::AeadSecret& own_cookie_key, const Cookie& cookie,
                         std::span<const uint8_t, crypto::kXNonceBytes> nonce, SessionIndex receiver,
                         std::span<const uint8_t, wire::kMacBytes> mac1,
                         std::span<uint8_t, wire::kCookieReplyBytes> out) noexcept {
  std::array<uint8_t, wire::kMacBytes + crypto::kTagBytes> sealed;
  crypto::xchacha20_poly1305_seal(own_cookie_key, nonce, mac1, cookie.view(), sealed);
  wire::encode(wire::CookieReply{receiver, nonce, sealed}, out);
}

std::optional<Cookie> open_cookie_reply(const crypto::AeadSecret& remote_cookie_key,
                                        std::span<const uint8_t, wire::kMacBytes> mac1,
                                        const wire::CookieReply& message) noexcept {
  Cookie cookie;
  if (!crypto::xchacha20_poly1305_open(remote_cookie_key, message.nonce, mac1, message.sealed_cookie,
                                       cookie.mutable_view())) {
    return std::nullopt;
  }
  return cookie;
}

}  // namespace vpn::noise
