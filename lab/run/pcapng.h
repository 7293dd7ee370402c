// The pcapng file format, as far as a capture needs it (draft-ietf-opsawg-pcapng): blocks as bytes, in the
// machine's own byte order, which the format allows. Times are in nanoseconds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "vpn/base/bytes.h"

namespace lab::pcapng {

// The section header, which comes first. `comment` is shown by Wireshark as the capture's.
[[nodiscard]] std::string section_header(std::string_view comment);
// A decryption secrets block with a WireGuard key log, which lets Wireshark read what the keys suffice for.
[[nodiscard]] std::string wireguard_keys(std::string_view key_log);
// An interface, numbered from 0 in the order they come; `link_type` is LINKTYPE_ETHERNET (1) or LINKTYPE_RAW
// (101).
[[nodiscard]] std::string interface(std::string_view name, uint16_t link_type);
// A packet seen on interface number `interface`; `outgoing` tells its direction.
[[nodiscard]] std::string packet(uint32_t interface, uint64_t unix_nanoseconds, vpn::BytesView bytes,
                                 bool outgoing);
// What is known of an interface at the end: how many packets of it the capture lacks.
[[nodiscard]] std::string statistics(uint32_t interface, uint64_t unix_nanoseconds, uint64_t dropped_count);

}  // namespace lab::pcapng
