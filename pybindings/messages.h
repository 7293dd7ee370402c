// The four messages of vpn/wire, owning their bytes: what Python reads, edits and encodes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "vpn/base/bytes.h"
#include "vpn/wire/messages.h"

namespace vpn::python {

template <size_t N>
[[nodiscard]] std::array<uint8_t, N> copy_of(std::span<const uint8_t, N> view) noexcept {
  std::array<uint8_t, N> copy;
  copy_bytes(view, copy);
  return copy;
}

struct Initiation {
  uint32_t sender = 0;
  std::array<uint8_t, 32> ephemeral{};
  std::array<uint8_t, 48> sealed_static{};
  std::array<uint8_t, 28> sealed_timestamp{};
  std::array<uint8_t, 16> mac1{};
  std::array<uint8_t, 16> mac2{};

  Initiation() = default;
  explicit Initiation(const wire::Initiation& m)
      : sender(m.sender.value),
        ephemeral(copy_of(m.ephemeral)),
        sealed_static(copy_of(m.sealed_static)),
        sealed_timestamp(copy_of(m.sealed_timestamp)),
        mac1(copy_of(m.mac1)),
        mac2(copy_of(m.mac2)) {}

  // Views into this object.
  [[nodiscard]] wire::Initiation view() const noexcept {
    return {{sender}, ephemeral, sealed_static, sealed_timestamp, mac1, mac2};
  }
  [[nodiscard]] std::array<uint8_t, wire::kInitiationBytes> encode() const noexcept {
    std::array<uint8_t, wire::kInitiationBytes> out;
    wire::encode(view(), std::span(out));
    return out;
  }
};

struct Response {
  uint32_t sender = 0;
  uint32_t receiver = 0;
  std::array<uint8_t, 32> ephemeral{};
  std::array<uint8_t, 16> sealed_empty{};
  std::array<uint8_t, 16> mac1{};
  std::array<uint8_t, 16> mac2{};

  Response() = default;
  explicit Response(const wire::Response& m)
      : sender(m.sender.value),
        receiver(m.receiver.value),
        ephemeral(copy_of(m.ephemeral)),
        sealed_empty(copy_of(m.sealed_empty)),
        mac1(copy_of(m.mac1)),
        mac2(copy_of(m.mac2)) {}

  [[nodiscard]] wire::Response view() const noexcept {
    return {{sender}, {receiver}, ephemeral, sealed_empty, mac1, mac2};
  }
  [[nodiscard]] std::array<uint8_t, wire::kResponseBytes> encode() const noexcept {
    std::array<uint8_t, wire::kResponseBytes> out;
    wire::encode(view(), std::span(out));
    return out;
  }
};

struct CookieReply {
  uint32_t receiver = 0;
  std::array<uint8_t, 24> nonce{};
  std::array<uint8_t, 32> sealed_cookie{};

  CookieReply() = default;
  explicit CookieReply(const wire::CookieReply& m)
      : receiver(m.receiver.value), nonce(copy_of(m.nonce)), sealed_cookie(copy_of(m.sealed_cookie)) {}

  [[nodiscard]] wire::CookieReply view() const noexcept { return {{receiver}, nonce, sealed_cookie}; }
  [[nodiscard]] std::array<uint8_t, wire::kCookieReplyBytes> encode() const noexcept {
    std::array<uint8_t, wire::kCookieReplyBytes> out;
    wire::encode(view(), std::span(out));
    return out;
  }
};

struct Data {
  uint32_t receiver = 0;
  uint64_t counter = 0;
  std::vector<uint8_t> sealed = std::vector<uint8_t>(wire::kTagBytes);

  Data() = default;
  explicit Data(const wire::Data& m)
      : receiver(m.receiver.value), counter(m.counter), sealed(m.sealed.begin(), m.sealed.end()) {}

  // Throws py::value_error outside of 16 … 65,491 bytes.
  void set_sealed(BytesView bytes);
  [[nodiscard]] std::vector<uint8_t> encode() const {
    std::vector<uint8_t> out(wire::kDataHeaderBytes + sealed.size());
    wire::encode(wire::Data{{receiver}, counter, sealed}, MutableBytes(out));
    return out;
  }
};

}  // namespace vpn::python
