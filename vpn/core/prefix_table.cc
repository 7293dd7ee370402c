#include "vpn/core/prefix_table.h"

#include <algorithm>
#include <bit>

#include "vpn/base/endian.h"

namespace vpn::core {

PrefixTable::Key PrefixTable::key_of(const IpAddress& address) noexcept {
  const uint8_t* bytes = address.bytes().data();
  if (address.is_ipv4()) return {uint64_t{load_be<uint32_t>(bytes)} << 32, 0};
  return {load_be<uint64_t>(bytes), load_be<uint64_t>(bytes + 8)};
}

bool PrefixTable::bit(const Key& key, unsigned position) noexcept {
  // Every caller's position is below the length of some prefix, and so below 128.
  // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult)
  return position < 64 ? (key.high >> (63 - position)) & 1 : (key.low >> (127 - position)) & 1;
}

// How many leading bits two keys share, at most `limit`.
unsigned PrefixTable::common_bits(const Key& a, const Key& b, unsigned limit) noexcept {
  unsigned common = static_cast<unsigned>(std::countl_zero(a.high ^ b.high));
  if (common == 64) common += static_cast<unsigned>(std::countl_zero(a.low ^ b.low));
  return std::min(common, limit);
}

PrefixTable::NodeIndex PrefixTable::make_node(const Key& key, unsigned length) {
  TrieNode node;
  node.key = key;
  node.length = static_cast<uint8_t>(length);
  if (!free_.empty()) {
    const NodeIndex index = free_.back();
    free_.pop_back();
    nodes_[index] = node;
    return index;
  }
  nodes_.push_back(node);
  free_.reserve(nodes_.capacity());  // so that remove() never allocates
  return static_cast<NodeIndex>(nodes_.size() - 1);
}

void PrefixTable::free_node(NodeIndex index) noexcept {
  free_.push_back(index);
}

std::optional<PeerId> PrefixTable::insert(const IpPrefix& prefix, PeerId owner) {
  const IpPrefix normal = prefix.normalized();
  const Key key = key_of(normal.address);
  // Where the link to the current node is kept: the root, or a child slot of `parent`.
  NodeIndex parent = kNone;
  size_t side = 0;
  const auto link = [&](NodeIndex target) {
    (parent == kNone ? root(normal.address.family()) : nodes_[parent].children[side]) = target;
  };

  NodeIndex current = root(normal.address.family());
  while (current != kNone) {
    const unsigned shared =
        common_bits(key, nodes_[current].key, std::min<unsigned>(normal.length, nodes_[current].length));
    if (shared == nodes_[current].length && shared == normal.length) break;  // this very prefix
    if (shared == nodes_[current].length) {                                  // ours lies below
      parent = current;
      side = bit(key, shared);
      current = nodes_[current].children[side];
      continue;
    }
    // The paths part above `current`: a node for what they share takes its place.
    const NodeIndex fork = make_node(key_of(normal.address.masked(shared)), shared);
    nodes_[fork].children[bit(nodes_[current].key, shared)] = current;
    link(fork);
    if (shared == normal.length) {
      current = fork;
      break;
    }
    parent = fork;
    side = bit(key, shared);
    current = kNone;
  }
  if (current == kNone) {
    current = make_node(key, normal.length);
    link(current);
  }

  TrieNode& node = nodes_[current];
  std::optional<PeerId> previous;
  if (!node.owned) {
    ++size_;
  } else if (node.owner != owner) {
    previous = node.owner;
  }
  node.owned = true;
  node.owner = owner;
  return previous;
}

bool PrefixTable::remove(const IpPrefix& prefix, PeerId owner) noexcept {
  const IpPrefix normal = prefix.normalized();
  const Key key = key_of(normal.address);
  NodeIndex* parent_link = nullptr;
  NodeIndex* link = &root(normal.address.family());
  while (*link != kNone && nodes_[*link].length < normal.length) {
    TrieNode& node = nodes_[*link];
    if (common_bits(key, node.key, node.length) < node.length) return false;
    parent_link = link;
    link = &node.children[bit(key, node.length)];
  }
  if (*link == kNone) return false;
  TrieNode& node = nodes_[*link];
  if (node.length != normal.length || common_bits(key, node.key, node.length) < node.length) return false;
  if (!node.owned || node.owner != owner) return false;
  node.owned = false;
  --size_;

  // A node that owns nothing and does not fork is taken out; its parent may then no longer fork either.
  const auto splice = [this](NodeIndex* at) {
    const TrieNode& spare = nodes_[*at];
    if (spare.owned || (spare.children[0] != kNone && spare.children[1] != kNone)) return;
    const NodeIndex freed = *at;
    *at = spare.children[spare.children[0] != kNone ? 0 : 1];
    free_node(freed);
  };
  splice(link);
  if (parent_link != nullptr) splice(parent_link);
  return true;
}

std::optional<PeerId> PrefixTable::find(const IpAddress& address) const noexcept {
  const Key key = key_of(address);
  const unsigned bits = address.bit_count();
  std::optional<PeerId> best;
  NodeIndex current = roots_[address.is_ipv4() ? 0 : 1];
  while (current != kNone) {
    const TrieNode& node = nodes_[current];
    if (common_bits(key, node.key, node.length) < node.length) break;
    if (node.owned) best = node.owner;
    if (node.length == bits) break;
    current = node.children[bit(key, node.length)];
  }
  return best;
}

}  // namespace vpn::core
