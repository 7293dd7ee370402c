// PrefixTable: which peer owns an inner address. The longest matching prefix wins ("cryptokey routing",
// whitepaper section 2). A path-compressed binary trie for each family.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "vpn/base/ids.h"
#include "vpn/base/ip_address.h"

namespace vpn::core {

class PrefixTable {
 public:
  // Gives the prefix to `owner`, host bits ignored. Returns the owner it had before, if that was another.
  std::optional<PeerId> insert(const IpPrefix& prefix, PeerId owner);
  // Takes exactly this prefix from `owner`. False when it was not theirs.
  bool remove(const IpPrefix& prefix, PeerId owner) noexcept;
  // The owner of the longest prefix that covers the address.
  [[nodiscard]] std::optional<PeerId> find(const IpAddress& address) const noexcept;

  [[nodiscard]] size_t size() const noexcept { return size_; }

 private:
  // An address as one 128-bit number, the first bit on top; IPv4 fills the top 32 bits.
  struct Key {
    uint64_t high = 0;
    uint64_t low = 0;
  };
  using NodeIndex = uint32_t;
  static constexpr NodeIndex kNone = UINT32_MAX;
  struct TrieNode {
    Key key;  // only the first `length` bits count; the rest are zero
    std::array<NodeIndex, 2> children{kNone, kNone};
    PeerId owner;
    uint8_t length = 0;
    bool owned = false;
  };

  static Key key_of(const IpAddress& address) noexcept;
  static bool bit(const Key& key, unsigned position) noexcept;
  static unsigned common_bits(const Key& a, const Key& b, unsigned limit) noexcept;

  NodeIndex make_node(const Key& key, unsigned length);
  void free_node(NodeIndex index) noexcept;
  NodeIndex& root(IpFamily family) noexcept { return roots_[family == IpFamily::kIpv4 ? 0 : 1]; }

  std::vector<TrieNode> nodes_;
  std::vector<NodeIndex> free_;
  std::array<NodeIndex, 2> roots_{kNone, kNone};
  size_t size_ = 0;
};

}  // namespace vpn::core
