// Allowed-IPs against a linear scan: insertions (with the owner they replace), removals and look-ups, IPv4
// and IPv6, host bits included. In the end every prefix is taken out again, and the table is empty.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "fuzz/input.h"
#include "vpn/base/check.h"
#include "vpn/core/prefix_table.h"

namespace vpn {
namespace {

constexpr size_t kMaxSteps = 256;

struct Entry {
  IpAddress address;
  unsigned length = 0;
  PeerId owner;
};

// The first `length` bits, compared one by one.
bool same_bits(const IpAddress& a, const IpAddress& b, unsigned length) {
  if (a.family() != b.family()) return false;
  for (unsigned bit = 0; bit < length; ++bit) {
    if (a.bit(bit) != b.bit(bit)) return false;
  }
  return true;
}

class NaiveTable {
 public:
  std::optional<PeerId> insert(const IpPrefix& prefix, PeerId owner) {
    if (Entry* entry = exact(prefix)) {
      const PeerId previous = std::exchange(entry->owner, owner);
      return previous == owner ? std::nullopt : std::optional(previous);
    }
    entries_.push_back({prefix.address, prefix.length, owner});
    return std::nullopt;
  }
  bool remove(const IpPrefix& prefix, PeerId owner) {
    const Entry* entry = exact(prefix);
    if (entry == nullptr || entry->owner != owner) return false;
    entries_.erase(entries_.begin() + (entry - entries_.data()));
    return true;
  }
  [[nodiscard]] std::optional<PeerId> find(const IpAddress& address) const {
    const Entry* best = nullptr;
    for (const Entry& entry : entries_) {
      if (!same_bits(entry.address, address, entry.length)) continue;
      if (best == nullptr || entry.length > best->length) best = &entry;
    }
    return best == nullptr ? std::nullopt : std::optional(best->owner);
  }
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

 private:
  Entry* exact(const IpPrefix& prefix) {
    for (Entry& entry : entries_) {
      if (entry.length == prefix.length && same_bits(entry.address, prefix.address, prefix.length))
        return &entry;
    }
    return nullptr;
  }
  std::vector<Entry> entries_;
};

IpAddress flip(const IpAddress& address, unsigned bit) {
  std::array<uint8_t, 16> bytes{};
  copy_bytes(address.bytes(), bytes);
  bit %= address.bit_count();
  bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ (0x80 >> bit % 8));
  return address.is_ipv4() ? IpAddress::ipv4(std::span(bytes).first<4>()) : IpAddress::ipv6(bytes);
}

// A new address, or one of the table's with one bit changed: neighbours are where tries go wrong.
IpAddress take_address(fuzz::Input& input, const NaiveTable& naive, bool neighbour) {
  if (neighbour && !naive.entries().empty()) {
    const auto& entry = naive.entries()[input.take<uint8_t>() % naive.entries().size()];
    return flip(entry.address, input.take<uint8_t>());
  }
  std::array<uint8_t, 16> bytes;
  const bool ipv4 = input.flag();
  input.fill(MutableBytes(bytes).first(ipv4 ? 4 : 16));
  return ipv4 ? IpAddress::ipv4(std::span(bytes).first<4>()) : IpAddress::ipv6(bytes);
}

void check_step(fuzz::Input& input, core::PrefixTable& table, NaiveTable& naive) {
  const auto choice = input.take<uint8_t>();
  const IpAddress address = take_address(input, naive, (choice & 4) != 0);
  const PeerId owner{1u + (choice >> 5)};
  if ((choice & 3) == 3) {
    VPN_CHECK(table.find(address) == naive.find(address));
    return;
  }
  const IpPrefix prefix{address, static_cast<uint8_t>(input.take<uint8_t>() % (address.bit_count() + 1))};
  if ((choice & 3) == 2) {
    VPN_CHECK(table.remove(prefix, owner) == naive.remove(prefix, owner));
  } else {
    VPN_CHECK(table.insert(prefix, owner) == naive.insert(prefix, owner));
  }
  VPN_CHECK(table.find(address) == naive.find(address));
}

}  // namespace
}  // namespace vpn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vpn;
  fuzz::Input input({data, size});
  core::PrefixTable table;
  NaiveTable naive;
  for (size_t step = 0; step < kMaxSteps && !input.empty(); ++step) {
    check_step(input, table, naive);
    VPN_CHECK(table.size() == naive.entries().size());
  }
  for (const Entry& entry : naive.entries()) {
    VPN_CHECK(table.find(entry.address) == naive.find(entry.address));
  }
  while (!naive.entries().empty()) {
    const Entry entry = naive.entries().front();
    const IpPrefix prefix{entry.address, static_cast<uint8_t>(entry.length)};
    VPN_CHECK(naive.remove(prefix, entry.owner));
    VPN_CHECK(table.remove(prefix, entry.owner));
    VPN_CHECK(table.find(entry.address) == naive.find(entry.address));
  }
  VPN_CHECK(table.size() == 0);
  return 0;
}
