// The text of a journal (journal.h): a line that names the interface and its network namespace, then one JSON
// object a line. Pure, so that the fuzzers can read any text.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/host/host_change.h"

namespace vpn::host {

struct JournalEntry {
  uint64_t id = 0;
  HostChange change;   // SetFirewall only with its interface, addresses and kill_switch; SetDns empty
  std::string former;  // what undoing puts back; empty: nothing
  friend bool operator==(const JournalEntry&, const JournalEntry&) = default;
};

// Each a whole line with its line feed. Bytes that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string journal_header(const std::string& interface, uint64_t network_namespace);
// What the header, the first line of a text, names; empty where there is none.
[[nodiscard]] std::optional<uint64_t> network_namespace_of(std::string_view text);
// Before it is done. Empty for an address, which ends with the interface.
[[nodiscard]] std::string announcement_line(const JournalEntry& entry);
// After it is undone.
[[nodiscard]] std::string undone_line(uint64_t id);
// A name that was resolved: "host:port", "address:port …".
[[nodiscard]] std::string address_line(const std::string& name, const std::string& addresses);

// What a journal tells of.
struct JournalContents {
  std::vector<JournalEntry> standing;            // done and not undone, in the order of doing
  std::map<std::string, std::string> addresses;  // the last of each name
  uint64_t last_id = 0;
  friend bool operator==(const JournalContents&, const JournalContents&) = default;
};
// Of whole lines only. An error, with the line's number, when one is damaged or the first is of another
// network namespace; `path` is for its text.
[[nodiscard]] Result<JournalContents, Error> read_journal(std::string_view text, const std::string& path,
                                                          uint64_t network_namespace);

}  // namespace vpn::host
