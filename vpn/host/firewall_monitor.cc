#include "vpn/host/firewall_monitor.h"

#include <netinet/in.h>  // before the kernel's own, which then leave out what is in both
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <string_view>
#include <utility>

namespace vpn::host {

Result<std::unique_ptr<FirewallMonitor>, Error> FirewallMonitor::open(std::string table,
                                                                      std::function<void()> on_gone) {
  auto listener = NetlinkListener::open(NETLINK_NETFILTER, {NFNLGRP_NFTABLES});
  if (!listener)
    return fail(Error{"nftables", 0, "", listener.error().problem, "the kernel must have nfnetlink"});
  return std::unique_ptr<FirewallMonitor>(
      new FirewallMonitor(std::move(*listener), std::move(table), std::move(on_gone)));
}

FirewallMonitor::FirewallMonitor(std::unique_ptr<NetlinkListener> listener, std::string table,
                                 std::function<void()> on_gone)
    : listener_(std::move(listener)), table_(std::move(table)), on_gone_(std::move(on_gone)) {}

// Who replaces the table removes it and makes it anew in one transaction: it is for the caller to look.
void FirewallMonitor::take(nl_msg* message) noexcept {
  nlmsghdr* const header = nlmsg_hdr(message);
  constexpr int kSubsystem = NFNL_SUBSYS_NFTABLES << 8;
  if (header->nlmsg_type != (kSubsystem | NFT_MSG_DELTABLE)) return;
  if (!nlmsg_valid_hdr(header, sizeof(nfgenmsg))) return;
  const auto* const family = static_cast<const nfgenmsg*>(nlmsg_data(header));
  const nlattr* const name = nlmsg_find_attr(header, sizeof(nfgenmsg), NFTA_TABLE_NAME);
  if (family->nfgen_family != NFPROTO_INET || name == nullptr) return;
  const std::string_view text(static_cast<const char*>(nla_data(name)), static_cast<size_t>(nla_len(name)));
  if (text.substr(0, text.find('\0')) == table_) may_be_gone_ = true;
}

void FirewallMonitor::hear() {
  // Of what was lost, something may have been our table's end.
  listener_->hear([this](nl_msg* message) { take(message); }, [this] { may_be_gone_ = true; });
  if (std::exchange(may_be_gone_, false)) on_gone_();
}

}  // namespace vpn::host
