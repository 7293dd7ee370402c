#include "lab/run/pcapng.h"

namespace lab::pcapng {
namespace {

constexpr uint32_t kSectionHeader = 0x0A0D0D0A;
constexpr uint32_t kInterface = 1;
constexpr uint32_t kStatistics = 5;
constexpr uint32_t kPacket = 6;
constexpr uint32_t kSecrets = 10;
constexpr uint32_t kSecretsWireGuard = 0x57474B4C;  // "WGKL"

template <typename T>
void put(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_padded(std::string& to, std::string_view bytes) {
  to.append(bytes);
  to.append((4 - bytes.size() % 4) % 4, '\0');
}

void put_option(std::string& to, uint16_t code, std::string_view value) {
  put(to, code);
  put(to, static_cast<uint16_t>(value.size()));
  put_padded(to, value);
}

std::string block(uint32_t type, const std::string& body) {
  std::string bytes;
  const auto length = static_cast<uint32_t>(body.size() + 12);
  put(bytes, type);
  put(bytes, length);
  bytes += body;
  put(bytes, length);
  return bytes;
}

}  // namespace

std::string section_header(std::string_view comment) {
  std::string body;
  put(body, uint32_t{0x1A2B3C4D});
  put(body, uint16_t{1});
  put(body, uint16_t{0});
  put(body, int64_t{-1});  // length not known
  put_option(body, 1, comment);
  put_option(body, 4, "lab");
  put_option(body, 0, "");
  return block(kSectionHeader, body);
}

std::string wireguard_keys(std::string_view key_log) {
  std::string body;
  put(body, kSecretsWireGuard);
  put(body, static_cast<uint32_t>(key_log.size()));
  put_padded(body, key_log);
  return block(kSecrets, body);
}

std::string interface(std::string_view name, uint16_t link_type) {
  std::string body;
  put(body, link_type);
  put(body, uint16_t{0});
  put(body, uint32_t{0});  // no limit to the length of a packet
  put_option(body, 2, name);
  put_option(body, 9, std::string_view("\x09", 1));  // times in 10⁻⁹ s
  put_option(body, 0, "");
  return block(kInterface, body);
}

std::string packet(uint32_t interface, uint64_t unix_nanoseconds, vpn::BytesView bytes, bool outgoing) {
  std::string body;
  put(body, interface);
  put(body, static_cast<uint32_t>(unix_nanoseconds >> 32));
  put(body, static_cast<uint32_t>(unix_nanoseconds));
  put(body, static_cast<uint32_t>(bytes.size()));
  put(body, static_cast<uint32_t>(bytes.size()));
  put_padded(body, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  std::string flags;
  put(flags, uint32_t{outgoing ? 2U : 1U});
  put_option(body, 2, flags);
  put_option(body, 0, "");
  return block(kPacket, body);
}

std::string statistics(uint32_t interface, uint64_t unix_nanoseconds, uint64_t dropped_count) {
  std::string body;
  put(body, interface);
  put(body, static_cast<uint32_t>(unix_nanoseconds >> 32));
  put(body, static_cast<uint32_t>(unix_nanoseconds));
  std::string dropped;
  put(dropped, dropped_count);
  put_option(body, 5, dropped);  // isb_ifdrop
  put_option(body, 0, "");
  return block(kStatistics, body);
}

}  // namespace lab::pcapng
