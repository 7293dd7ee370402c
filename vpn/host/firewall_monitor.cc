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
  nl_sock* const socket = nl_socket_alloc();
  nl_socket_disable_seq_check(socket);
  int result = nl_connect(socket, NETLINK_NETFILTER);
  if (result >= 0) result = nl_socket_add_membership(socket, NFNLGRP_NFTABLES);
  if (result >= 0) result = nl_socket_set_nonblocking(socket);
  if (result < 0) {
    nl_socket_free(socket);
    return fail(Error{"nftables", 0, "", nl_geterror(result), "the kernel must have nfnetlink"});
  }
  return std::unique_ptr<FirewallMonitor>(new FirewallMonitor(socket, std::move(table), std::move(on_gone)));
}

FirewallMonitor::FirewallMonitor(nl_sock* socket, std::string table, std::function<void()> on_gone)
    : socket_(socket), table_(std::move(table)), on_gone_(std::move(on_gone)) {
  const auto on_message = [](nl_msg* message, void* self) -> int {
    static_cast<FirewallMonitor*>(self)->take(message);
    return NL_OK;
  };
  nl_socket_modify_cb(socket_, NL_CB_VALID, NL_CB_CUSTOM, on_message, this);
}

// Who replaces the table removes it and makes it anew in one transaction: the last word counts.
void FirewallMonitor::take(nl_msg* message) noexcept {
  nlmsghdr* const header = nlmsg_hdr(message);
  constexpr int kSubsystem = NFNL_SUBSYS_NFTABLES << 8;
  const bool is_removal = header->nlmsg_type == (kSubsystem | NFT_MSG_DELTABLE);
  if (!is_removal && header->nlmsg_type != (kSubsystem | NFT_MSG_NEWTABLE)) return;
  if (!nlmsg_valid_hdr(header, sizeof(nfgenmsg))) return;
  const auto* const family = static_cast<const nfgenmsg*>(nlmsg_data(header));
  const nlattr* const name = nlmsg_find_attr(header, sizeof(nfgenmsg), NFTA_TABLE_NAME);
  if (family->nfgen_family != NFPROTO_INET || name == nullptr) return;
  const std::string_view text(static_cast<const char*>(nla_data(name)), static_cast<size_t>(nla_len(name)));
  if (text.substr(0, text.find('\0')) == table_) gone_ = is_removal;
}

FirewallMonitor::~FirewallMonitor() {
  nl_socket_free(socket_);
}

int FirewallMonitor::fd() const noexcept {
  return nl_socket_get_fd(socket_);
}

void FirewallMonitor::hear() {
  int result = 0;
  do {
    result = nl_recvmsgs_default(socket_);
    // More has happened than the socket could hold: ours may have gone meanwhile.
    if (result == -NLE_NOMEM) gone_ = true;
  } while (result >= 0 || result == -NLE_NOMEM);
  if (std::exchange(gone_, false)) on_gone_();
}

}  // namespace vpn::host
