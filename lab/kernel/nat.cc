#include "lab/kernel/nat.h"

#include <fmt/format.h>
#include <nftables/libnftables.h>

#include <memory>

namespace lab {
namespace {

struct FreeContext {
  void operator()(nft_ctx* context) const { nft_ctx_free(context); }
};

std::string interface_set(const std::vector<std::string>& names) {
  std::string set;
  for (const std::string& name : names) set += fmt::format("{}\"{}\"", set.empty() ? "" : ", ", name);
  return "{ " + set + " }";
}

// Where a datagram from outside belongs: who uses the port, and whom they have spoken to from it.
std::string state_of(const Nat& nat, int64_t seconds) {
  std::string text = fmt::format(
      "  map users {{ type inet_service : ipv4_addr; flags dynamic,timeout; timeout {}s; size 65535; }}\n",
      seconds);
  if (nat.kind == NatKind::kRestricted) {
    text += fmt::format(
        "  set spoken_to {{ type ipv4_addr . inet_service; flags dynamic,timeout; timeout {}s; size 65535; "
        "}}\n",
        seconds);
  }
  return text;
}

}  // namespace

std::string nat_ruleset(const Nat& nat, const IpAddress& outside) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(nat.udp_timeout).count();
  const std::string inside = interface_set(nat.inside);
  const bool is_cone = nat.kind == NatKind::kFullCone || nat.kind == NatKind::kRestricted;
  const bool keeps_users = is_cone || nat.hairpin;

  std::string text = "table ip lab_nat {\n";
  if (keeps_users) text += state_of(nat, seconds);

  // Before translation, and for every datagram, so that what is in use does not time out.
  if (keeps_users) {
    text += "  chain note {\n    type filter hook forward priority 0; policy accept;\n";
    text += fmt::format(
        "    iifname {} oifname \"{}\" meta l4proto udp update @users {{ udp sport : ip saddr }}\n", inside,
        nat.outside);
    if (nat.kind == NatKind::kRestricted) {
      text += fmt::format(
          "    iifname {} oifname \"{}\" meta l4proto udp update @spoken_to {{ ip daddr . udp sport }}\n",
          inside, nat.outside);
    }
    text += "  }\n";
  }
  text += "  chain incoming {\n    type nat hook prerouting priority dstnat; policy accept;\n";
  if (is_cone) {
    const char* const allowed = nat.kind == NatKind::kRestricted ? "ip saddr . udp dport @spoken_to " : "";
    text += fmt::format("    iifname \"{}\" ip daddr {} meta l4proto udp {}dnat to udp dport map @users\n",
                        nat.outside, outside.to_string(), allowed);
  }
  if (nat.hairpin) {
    text += fmt::format("    iifname {} ip daddr {} meta l4proto udp dnat to udp dport map @users\n", inside,
                        outside.to_string());
  }
  text += "  }\n";

  text += "  chain guard {\n    type filter hook forward priority 10; policy accept;\n";
  text += fmt::format("    iifname \"{}\" ct state new ct status & dnat != dnat drop\n  }}\n", nat.outside);

  text += "  chain outgoing {\n    type nat hook postrouting priority srcnat; policy accept;\n";
  text += fmt::format("    oifname \"{}\" masquerade{}\n", nat.outside,
                      nat.kind == NatKind::kSymmetric ? " fully-random" : "");
  if (nat.hairpin) {
    text += fmt::format("    iifname {} oifname {} ct status & dnat == dnat snat to {}\n", inside, inside,
                        outside.to_string());
  }
  text += "  }\n}\n";
  return text;
}

Result<void> load_ruleset(const std::string& where, const std::string& ruleset) {
  const std::unique_ptr<nft_ctx, FreeContext> context(nft_ctx_new(NFT_CTX_DEFAULT));
  if (!context) return fail(where, "libnftables does not start");
  nft_ctx_buffer_error(context.get());
  nft_ctx_buffer_output(context.get());
  if (nft_run_cmd_from_buffer(context.get(), ruleset.c_str()) == 0) return {};
  return fail(where, std::string("loading nftables rules: ") + nft_ctx_get_error_buffer(context.get()),
              "see 'lab doctor': the kernel must have nf_tables with NAT");
}

}  // namespace lab
