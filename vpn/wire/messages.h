// The four messages of WireGuard v1 as they lie on the wire (whitepaper section 5.4). Little-endian; the type
// is a 32-bit word, so the three bytes after it must be zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

#include "vpn/base/bytes.h"
#include "vpn/base/ids.h"
#include "vpn/base/result.h"

namespace vpn::wire {

enum class MessageType : uint8_t { kInitiation = 1, kResponse = 2, kCookieReply = 3, kData = 4 };

inline constexpr size_t kInitiationBytes = 148;
inline constexpr size_t kResponseBytes = 92;
inline constexpr size_t kCookieReplyBytes = 64;
inline constexpr size_t kDataHeaderBytes = 16;
inline constexpr size_t kTagBytes = 16;
inline constexpr size_t kDataOverheadBytes = kDataHeaderBytes + kTagBytes;
inline constexpr size_t kKeepaliveBytes = kDataOverheadBytes;
inline constexpr size_t kMacBytes = 16;
inline constexpr size_t kTimestampBytes = 12;
inline constexpr size_t kMaxUdpPayloadBytes = 65507;

// A parsed message: numbers in host order, everything else views into the datagram.
//
//   initiation: type@0 sender@4 ephemeral@8[32] static@40[32+16] timestamp@88[12+16] mac1@116[16]
//   mac2@132[16]
struct Initiation {
  SessionIndex sender;
  std::span<const uint8_t, 32> ephemeral;
  std::span<const uint8_t, 48> sealed_static;
  std::span<const uint8_t, 28> sealed_timestamp;
  std::span<const uint8_t, kMacBytes> mac1;
  std::span<const uint8_t, kMacBytes> mac2;
};

//   response: type@0 sender@4 receiver@8 ephemeral@12[32] empty@44[16] mac1@60[16] mac2@76[16]
struct Response {
  SessionIndex sender;
  SessionIndex receiver;
  std::span<const uint8_t, 32> ephemeral;
  std::span<const uint8_t, 16> sealed_empty;
  std::span<const uint8_t, kMacBytes> mac1;
  std::span<const uint8_t, kMacBytes> mac2;
};

//   cookie reply: type@0 receiver@4 nonce@8[24] cookie@32[16+16]
struct CookieReply {
  SessionIndex receiver;
  std::span<const uint8_t, 24> nonce;
  std::span<const uint8_t, 32> sealed_cookie;
};

//   data: type@0 receiver@4 counter@8[8] ciphertext@16 tag
struct Data {
  SessionIndex receiver;
  Counter counter = 0;
  BytesView sealed;  // ciphertext ‖ tag, at least 16 bytes
};

using Message = std::variant<Initiation, Response, CookieReply, Data>;
// Where each kind is told apart from the others asserts this, so that the compiler names the places that a
// new one takes.
inline constexpr bool kFourMessages = std::variant_size_v<Message> == 4;

enum class ParseError : uint8_t {
  kUnknownType,  // the first four bytes are no message type, or are not there
  kBadLength,    // not the length that the type has
};

// Takes a UDP payload apart. The views live as long as `datagram`.
[[nodiscard]] Result<Message, ParseError> parse(BytesView datagram) noexcept;

// The message's length on the wire.
[[nodiscard]] size_t encoded_bytes(const Message& message) noexcept;

// Writes the message; `out` has exactly encoded_bytes(). What parse() made of it must not overlap `out`.
void encode(const Initiation& message, std::span<uint8_t, kInitiationBytes> out) noexcept;
void encode(const Response& message, std::span<uint8_t, kResponseBytes> out) noexcept;
void encode(const CookieReply& message, std::span<uint8_t, kCookieReplyBytes> out) noexcept;
void encode(const Data& message, MutableBytes out) noexcept;
void encode(const Message& message, MutableBytes out) noexcept;

// Writes the 16-byte header of a data message.
void encode_data_header(SessionIndex receiver, Counter counter,
                        std::span<uint8_t, kDataHeaderBytes> out) noexcept;

// What the two MACs of an initiation or response cover: everything before them. The message has its full
// length.
inline constexpr size_t kMacsBytes = 2 * kMacBytes;
[[nodiscard]] inline BytesView mac1_covered(BytesView message) noexcept {
  return message.first(message.size() - kMacsBytes);
}
[[nodiscard]] inline BytesView mac2_covered(BytesView message) noexcept {
  return message.first(message.size() - kMacBytes);
}

}  // namespace vpn::wire
