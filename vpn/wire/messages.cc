#include "vpn/wire/messages.h"

#include "vpn/base/check.h"
#include "vpn/base/endian.h"

namespace vpn::wire {
namespace {

SessionIndex load_index(const uint8_t* from) noexcept {
  return SessionIndex{load_le<uint32_t>(from)};
}

// Type and reserved bytes in one 32-bit word.
void store_type(MutableBytes out, MessageType type) noexcept {
  store_le(out.data(), static_cast<uint32_t>(type));
}

void store_index(MutableBytes out, size_t offset, SessionIndex index) noexcept {
  store_le(out.data() + offset, index.value);
}

}  // namespace

Result<Message, ParseError> parse(BytesView datagram) noexcept {
  if (datagram.size() < sizeof(uint32_t)) return fail(ParseError::kUnknownType);
  switch (load_le<uint32_t>(datagram.data())) {
    case static_cast<uint32_t>(MessageType::kInitiation):
      if (datagram.size() != kInitiationBytes) return fail(ParseError::kBadLength);
      return Message(Initiation{load_index(datagram.data() + 4), fixed_view<32>(datagram, 8),
                                fixed_view<48>(datagram, 40), fixed_view<28>(datagram, 88),
                                fixed_view<16>(datagram, 116), fixed_view<16>(datagram, 132)});
    case static_cast<uint32_t>(MessageType::kResponse):
      if (datagram.size() != kResponseBytes) return fail(ParseError::kBadLength);
      return Message(Response{load_index(datagram.data() + 4), load_index(datagram.data() + 8),
                              fixed_view<32>(datagram, 12), fixed_view<16>(datagram, 44),
                              fixed_view<16>(datagram, 60), fixed_view<16>(datagram, 76)});
    case static_cast<uint32_t>(MessageType::kCookieReply):
      if (datagram.size() != kCookieReplyBytes) return fail(ParseError::kBadLength);
      return Message(CookieReply{load_index(datagram.data() + 4), fixed_view<24>(datagram, 8),
                                 fixed_view<32>(datagram, 32)});
    case static_cast<uint32_t>(MessageType::kData):
      if (datagram.size() < kDataOverheadBytes) return fail(ParseError::kBadLength);
      return Message(Data{load_index(datagram.data() + 4), load_le<uint64_t>(datagram.data() + 8),
                          datagram.subspan(kDataHeaderBytes)});
    default:
      return fail(ParseError::kUnknownType);
  }
}

size_t encoded_bytes(const Message& message) noexcept {
  static_assert(kFourMessages);
  if (std::holds_alternative<Initiation>(message)) return kInitiationBytes;
  if (std::holds_alternative<Response>(message)) return kResponseBytes;
  if (std::holds_alternative<CookieReply>(message)) return kCookieReplyBytes;
  return kDataHeaderBytes + std::get_if<Data>(&message)->sealed.size();
}

void encode(const Initiation& message, std::span<uint8_t, kInitiationBytes> out) noexcept {
  store_type(out, MessageType::kInitiation);
  store_index(out, 4, message.sender);
  copy_bytes(message.ephemeral, out.subspan<8>());
  copy_bytes(message.sealed_static, out.subspan<40>());
  copy_bytes(message.sealed_timestamp, out.subspan<88>());
  copy_bytes(message.mac1, out.subspan<116>());
  copy_bytes(message.mac2, out.subspan<132>());
}

void encode(const Response& message, std::span<uint8_t, kResponseBytes> out) noexcept {
  store_type(out, MessageType::kResponse);
  store_index(out, 4, message.sender);
  store_index(out, 8, message.receiver);
  copy_bytes(message.ephemeral, out.subspan<12>());
  copy_bytes(message.sealed_empty, out.subspan<44>());
  copy_bytes(message.mac1, out.subspan<60>());
  copy_bytes(message.mac2, out.subspan<76>());
}

void encode(const CookieReply& message, std::span<uint8_t, kCookieReplyBytes> out) noexcept {
  store_type(out, MessageType::kCookieReply);
  store_index(out, 4, message.receiver);
  copy_bytes(message.nonce, out.subspan<8>());
  copy_bytes(message.sealed_cookie, out.subspan<32>());
}

void encode_data_header(SessionIndex receiver, Counter counter,
                        std::span<uint8_t, kDataHeaderBytes> out) noexcept {
  store_type(out, MessageType::kData);
  store_index(out, 4, receiver);
  store_le(out.data() + 8, counter);
}

void encode(const Data& message, MutableBytes out) noexcept {
  VPN_CHECK(out.size() == kDataHeaderBytes + message.sealed.size());
  encode_data_header(message.receiver, message.counter, out.first<kDataHeaderBytes>());
  copy_bytes(message.sealed, out.subspan(kDataHeaderBytes));
}

void encode(const Message& message, MutableBytes out) noexcept {
  static_assert(kFourMessages);
  VPN_CHECK(out.size() == encoded_bytes(message));
  if (const auto* initiation = std::get_if<Initiation>(&message)) {
    encode(*initiation, out.first<kInitiationBytes>());
  } else if (const auto* response = std::get_if<Response>(&message)) {
    encode(*response, out.first<kResponseBytes>());
  } else if (const auto* cookie = std::get_if<CookieReply>(&message)) {
    encode(*cookie, out.first<kCookieReplyBytes>());
  } else {
    encode(*std::get_if<Data>(&message), out);
  }
}

}  // namespace vpn::wire
