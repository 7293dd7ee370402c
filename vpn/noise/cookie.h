// mac1, mac2 and cookies (whitepaper sections 5.3, 5.4.4, 5.4.7): what a message must carry before it may
// cost us a Diffie-Hellman computation.
#pragma once

#include <optional>
#include <span>

#include "vpn/base/ip_address.h"
#include "vpn/base/secret.h"
#include "vpn/crypto/aead.h"
#include "vpn/crypto/blake2s.h"
#include "vpn/wire/messages.h"

namespace vpn::noise {

using Cookie = Secret<wire::kMacBytes>;

// Fills in the last 32 bytes of an otherwise complete initiation or response: mac1 always, mac2 with a
// cookie, else zeros.
void write_macs(MutableBytes message, const crypto::Hash& receiver_mac1_key, const Cookie* cookie) noexcept;

// Whether mac1 of a whole initiation or response is right for us.
[[nodiscard]] bool verify_mac1(BytesView message, const crypto::Hash& own_mac1_key) noexcept;
// Whether mac2 was made with this cookie.
[[nodiscard]] bool verify_mac2(BytesView message, const Cookie& cookie) noexcept;

// The cookie of a source: MAC16(secret, address ‖ port, both big-endian).
[[nodiscard]] Cookie make_cookie(const Secret<32>& secret, const UdpAddress& source) noexcept;

// Writes a cookie reply to the message whose sender index and mac1 are given. `nonce` is fresh and random.
void create_cookie_reply(const crypto::AeadSecret& own_cookie_key, const Cookie& cookie,
                         std::span<const uint8_t, crypto::kXNonceBytes> nonce, SessionIndex receiver,
                         std::span<const uint8_t, wire::kMacBytes> mac1,
                         std::span<uint8_t, wire::kCookieReplyBytes> out) noexcept;

// The cookie in a reply to the message of ours that carried `mac1`; empty when it does not verify.
[[nodiscard]] std::optional<Cookie> open_cookie_reply(const crypto::AeadSecret& remote_cookie_key,
                                                      std::span<const uint8_t, wire::kMacBytes> mac1,
                                                      const wire::CookieReply& message) noexcept;

}  // namespace vpn::noise
