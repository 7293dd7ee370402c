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

// A packet of a new flow carries this mark from the translation to the note: its port was not given to it
// before. A port of an inside socket is given once, to whatever it speaks, and no two sockets have the same
// (RFC 4787, REQ-1 and REQ-3). Conntrack alone knows nothing of either: it keeps flows apart, not sockets.
class Ruleset {
 public:
  Ruleset(const Nat& nat, const IpAddress& outside, bool is_reachable)
      : nat_(nat),
        outside_(outside.to_string()),
        from_inside_(fmt::format("iifname {}", interface_set(nat.inside))),
        is_reachable_(is_reachable),
        is_symmetric_(nat.kind == NatKind::kSymmetric),
        lets_strangers_in_(nat.kind == NatKind::kFullCone || nat.kind == NatKind::kRestricted) {}

  [[nodiscard]] std::string text() const {
    return "table ip lab_nat {\n" + state() + incoming() + guard() + outgoing() + notes() + "}\n";
  }

 private:
  [[nodiscard]] bool keeps_users() const { return lets_strangers_in_ || nat_.hairpin; }

  [[nodiscard]] std::string container(const char* kind, const char* name, const char* type) const {
    return fmt::format("  {} {} {{ type {}; flags dynamic,timeout; timeout {}s; size 65535; }}\n", kind, name,
                       type, std::chrono::ceil<std::chrono::seconds>(nat_.udp_timeout).count());
  }

  // Whose an outside port is, which one a socket has, and whom it has spoken to.
  [[nodiscard]] std::string state() const {
    std::string text;
    if (keeps_users()) text += container("map", "users", "inet_service : ipv4_addr . inet_service");
    if (!is_symmetric_) {
      text += container("map", "mapped", "ipv4_addr . inet_service : inet_service");
      text += container("set", "taken", "inet_service");
    }
    if (nat_.kind == NatKind::kRestricted) text += container("set", "spoken_to", "ipv4_addr . inet_service");
    return text;
  }

  [[nodiscard]] std::string incoming() const {
    std::string text = "  chain incoming {\n    type nat hook prerouting priority dstnat; policy accept;\n";
    if (lets_strangers_in_) {
      const char* const allowed = nat_.kind == NatKind::kRestricted ? "ip saddr . udp dport @spoken_to " : "";
      text += fmt::format(
          "    iifname \"{}\" fib daddr type local meta l4proto udp {}dnat to udp dport map @users\n",
          nat_.outside, allowed);
    }
    if (nat_.hairpin) {
      text += fmt::format("    {} ip daddr {} meta l4proto udp dnat to udp dport map @users\n", from_inside_,
                          outside_);
    }
    return text + "  }\n";
  }

  // What no inside socket has asked for ends here. Let into the router itself, it would be answered with
  // ICMP, and be a flow in conntrack whose port an inside socket may need a moment later.
  [[nodiscard]] std::string guard() const {
    std::string text = fmt::format(
        "  chain guard {{\n    type filter hook forward priority 10; policy accept;\n"
        "    iifname \"{}\" ct state new ct status & dnat != dnat drop\n  }}\n",
        nat_.outside);
    if (is_reachable_) return text;
    return text + fmt::format(
                      "  chain guard_router {{\n    type filter hook input priority 10; policy accept;\n"
                      "    iifname \"{}\" meta l4proto udp ct state new drop\n  }}\n",
                      nat_.outside);
  }

  // What gives a packet an outside source, which only the first of a flow passes. Masquerading follows the
  // outside interface when that gets another address, and forgets the flows of the old one.
  [[nodiscard]] std::string translation(const char* chain, const std::string& verb,
                                        const std::string& address) const {
    std::string text = fmt::format("  chain {} {{\n", chain);
    const std::string plain = address.empty() ? verb : verb + " to " + address;
    if (is_symmetric_) {
      text += fmt::format("    {} fully-random\n", plain);
    } else {
      text += fmt::format("    meta l4proto udp {} to {}:ip saddr . udp sport map @mapped\n", verb, address);
      text += fmt::format("    meta mark set {}\n", kNewMapping);
      text += fmt::format("    udp sport @taken {} to {}:1024-65535 fully-random\n", verb, address);
      text += fmt::format("    {}\n", plain);
    }
    return text + "  }\n";
  }

  [[nodiscard]] std::string outgoing() const {
    std::string text = translation("translate", "masquerade", "");
    if (nat_.hairpin) text += translation("translate_hairpin", "snat", outside_);
    text += "  chain outgoing {\n    type nat hook postrouting priority srcnat; policy accept;\n";
    text +=
        fmt::format("    {} oifname \"{}\" meta l4proto udp goto translate\n", from_inside_, nat_.outside);
    if (nat_.hairpin) {
      text += fmt::format(
          "    {} oifname != \"{}\" meta l4proto udp ct status & dnat == dnat goto translate_hairpin\n",
          from_inside_, nat_.outside);
    }
    text +=
        fmt::format("    oifname \"{}\" masquerade{}\n", nat_.outside, is_symmetric_ ? " fully-random" : "");
    return text + "  }\n";
  }

  // After translation, and for every datagram, so that what is in use does not time out. Where conntrack drew
  // a port that another socket has, the datagram is lost and its flow forgotten: the next one draws again.
  // `mapped` comes last, so that no port is taken by a socket whose mapping has timed out.
  [[nodiscard]] std::string notes() const {
    if (is_symmetric_ && !nat_.hairpin) return "";
    std::string text = "  chain note {\n";
    if (!is_symmetric_) {
      text += fmt::format("    meta mark {} udp sport @taken drop\n", kNewMapping);
      text += "    update @taken { udp sport }\n";
    }
    for (const char* const way :
         {"original", "reply"}) {  // who was spoken to first answers by the reply's way
      const std::string socket = fmt::format("ct {0} ip saddr . ct {0} proto-src", way);
      const std::string matched = fmt::format("    meta l4proto udp ct direction {} ", way);
      if (keeps_users()) text += fmt::format("{}update @users {{ udp sport : {} }}\n", matched, socket);
      if (!is_symmetric_) text += fmt::format("{}update @mapped {{ {} : udp sport }}\n", matched, socket);
    }
    if (nat_.kind == NatKind::kRestricted) text += "    update @spoken_to { ip daddr . udp sport }\n";
    text += "  }\n  chain after {\n    type filter hook postrouting priority srcnat + 1; policy accept;\n";
    text += fmt::format("    {} fib saddr type local meta l4proto udp goto note\n", from_inside_);
    return text + "  }\n";
  }

  static constexpr const char* kNewMapping = "0x6e6577";
  const Nat& nat_;
  std::string outside_;
  std::string from_inside_;
  bool is_reachable_;
  bool is_symmetric_;
  bool lets_strangers_in_;
};

}  // namespace

std::string nat_ruleset(const Nat& nat, const IpAddress& outside, bool is_reachable) {
  return Ruleset(nat, outside, is_reachable).text();
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
