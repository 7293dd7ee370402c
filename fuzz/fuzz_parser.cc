// The message parser on arbitrary datagrams: it accepts exactly the types and lengths of the protocol, what
// it returns lies within the datagram, and encoding a parsed message gives the datagram back byte for byte.
#include <vector>

#include "fuzz/input.h"
#include "vpn/base/check.h"
#include "vpn/base/endian.h"
#include "vpn/wire/messages.h"

namespace vpn {
namespace {

// The verdict by the protocol's table alone, written as naively as can be.
Result<size_t, wire::ParseError> expected_length(BytesView datagram) {
  if (datagram.size() < 4) return fail(wire::ParseError::kUnknownType);
  switch (load_le<uint32_t>(datagram.data())) {
    case 1:
      return 148;
    case 2:
      return 92;
    case 3:
      return 64;
    case 4:
      return std::max<size_t>(datagram.size(), 32);
    default:
      return fail(wire::ParseError::kUnknownType);
  }
}

void check_message(BytesView datagram, const wire::Message& message) {
  VPN_CHECK(wire::encoded_bytes(message) == datagram.size());
  std::vector<uint8_t> again(datagram.size(), 0xA5);
  wire::encode(message, again);
  VPN_CHECK(std::equal(again.begin(), again.end(), datagram.begin(), datagram.end()));
  if (const auto* data = std::get_if<wire::Data>(&message)) {
    VPN_CHECK(data->sealed.data() == datagram.data() + 16);
    VPN_CHECK(data->sealed.size() == datagram.size() - 16);
    VPN_CHECK(data->counter == load_le<uint64_t>(datagram.data() + 8));
  }
}

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  const BytesView datagram(data, size);
  const auto expected = expected_length(datagram);
  const auto message = wire::parse(datagram);
  if (!expected) {
    VPN_CHECK(!message && message.error() == expected.error());
  } else if (*expected != size) {
    VPN_CHECK(!message && message.error() == wire::ParseError::kBadLength);
  } else {
    VPN_CHECK(message.has_value());
    check_message(datagram, *message);
  }
  return 0;
}
