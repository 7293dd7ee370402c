#include "lab/engines/netem.h"

#include <linux/ethtool.h>
#include <linux/pkt_sched.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netlink/cache.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/qdisc.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "lab/impair/delay_table.h"
#include "lab/impair/netem_limits.h"
#include "lab/kernel/unique_fd.h"

namespace lab {
namespace {

constexpr int kPrngSeedAttribute = 14;  // TCA_NETEM_PRNG_SEED, from Linux 6.6
constexpr double kFastestPerSecond =
    2e6;  // packets a second that netem's own queue must hold for the whole delay
constexpr uint32_t kSpareRoom =
    1000;  // so that the queue for the rate, which netem counts as its own, fills first
constexpr uint32_t kRootHandle = 0x10000;
constexpr uint32_t kTbfHandle = 0x20000;
constexpr uint32_t kQueueHandle = 0x30000;

struct FreeMessage {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
};
struct FreeCache {
  void operator()(nl_cache* cache) const { nl_cache_free(cache); }
};
using Message = std::unique_ptr<nl_msg, FreeMessage>;

Message qdisc_message(int type, int flags, int interface, uint32_t parent, uint32_t handle) {
  Message message(nlmsg_alloc_size(2 * kDelayTableSize + 4096));
  nlmsg_put(message.get(), NL_AUTO_PORT, NL_AUTO_SEQ, type, sizeof(tcmsg), NLM_F_REQUEST | flags);
  auto* const header = static_cast<tcmsg*>(nlmsg_data(nlmsg_hdr(message.get())));
  header->tcm_family = AF_UNSPEC;
  header->tcm_ifindex = interface;
  header->tcm_parent = parent;
  header->tcm_handle = handle;
  return message;
}

// Sends the message and waits for the kernel's verdict: 0 or a negative libnl error.
int send(Netlink& netlink, Message message) {
  const int sent = nl_send_auto(netlink.socket(), message.get());
  return sent < 0 ? sent : nl_wait_for_ack(netlink.socket());
}

uint32_t to_u32(double share) {
  return static_cast<uint32_t>(std::llround(share * 4294967295.0));
}

int remove_root(Netlink& netlink, int interface) {
  return send(netlink, qdisc_message(RTM_DELQDISC, NLM_F_ACK, interface, TC_H_ROOT, 0));
}

void put_loss(nl_msg* message, const Impairment& impairment) {
  const auto& burst = impairment.burst;
  const auto with_loss = [&](double share) { return 1 - (1 - share) * (1 - impairment.loss); };
  const tc_netem_gemodel model = {to_u32(burst.good_to_bad), to_u32(burst.bad_to_good),
                                  to_u32(1 - with_loss(burst.loss_in_bad)),
                                  to_u32(with_loss(burst.loss_in_good))};
  nlattr* const loss = nla_nest_start(message, TCA_NETEM_LOSS);
  nla_put(message, NETEM_LOSS_GE, sizeof model, &model);
  nla_nest_end(message, loss);
}

Message netem_message(int interface, const Impairment& impairment, uint64_t seed) {
  Message message =
      qdisc_message(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, interface, TC_H_ROOT, kRootHandle);
  nlmsg_append(message.get(), nullptr, 0, NLMSG_ALIGNTO);
  nla_put_string(message.get(), TCA_KIND, "netem");
  nlattr* const options = nla_nest_start(message.get(), TCA_OPTIONS);

  const DelayTable table = delay_table(impairment);
  const bool has_burst = impairment.burst.good_to_bad > 0 || impairment.burst.loss_in_good > 0;
  const double longest =
      std::chrono::duration<double>(impairment.delay + table.sigma + impairment.jitter + impairment.slot_max)
          .count();
  tc_netem_qopt basics{};
  basics.limit = impairment.queue_packets + kSpareRoom +
                 static_cast<uint32_t>(std::min(longest * kFastestPerSecond, 1e8));
  basics.loss = has_burst ? 0 : to_u32(impairment.loss);
  basics.duplicate = to_u32(impairment.duplicate);
  nlmsg_append(message.get(), &basics, sizeof basics, NLMSG_ALIGNTO);

  const int64_t latency = impairment.delay.count();
  const int64_t jitter = (table.values.empty() ? impairment.jitter : table.sigma).count();
  nla_put(message.get(), TCA_NETEM_LATENCY64, sizeof latency, &latency);
  nla_put(message.get(), TCA_NETEM_JITTER64, sizeof jitter, &jitter);
  if (!table.values.empty()) {
    nla_put(message.get(), TCA_NETEM_DELAY_DIST, static_cast<int>(table.values.size() * sizeof(int16_t)),
            table.values.data());
  }
  if (impairment.corrupt > 0) {
    const tc_netem_corrupt corrupt = {to_u32(impairment.corrupt), 0};
    nla_put(message.get(), TCA_NETEM_CORRUPT, sizeof corrupt, &corrupt);
  }
  if (has_burst) put_loss(message.get(), impairment);
  if (impairment.slot_max > Duration{}) {
    const tc_netem_slot slot = {impairment.slot_min.count(), impairment.slot_max.count(), 0, 0, 0, 0};
    nla_put(message.get(), TCA_NETEM_SLOT, sizeof slot, &slot);
  }
  nla_put(message.get(), kPrngSeedAttribute, sizeof seed, &seed);
  nla_nest_end(message.get(), options);
  return message;
}

Message tbf_message(int interface, const Impairment& impairment, unsigned link_mtu_bytes) {
  Message message = qdisc_message(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, interface,
                                  kRootHandle | 1, kTbfHandle);
  nla_put_string(message.get(), TCA_KIND, "tbf");
  nlattr* const options = nla_nest_start(message.get(), TCA_OPTIONS);
  const uint64_t bytes_per_second = impairment.rate_bits_per_second / 8;
  const unsigned frame_bytes = link_mtu_bytes + 14;
  // Two frames, or what the rate sends in a timer tick of 4 ms: less would fall short of the rate.
  const auto burst = static_cast<uint32_t>(std::max(uint64_t{2} * frame_bytes, bytes_per_second / 250));
  tc_tbf_qopt parameters{};
  parameters.rate.linklayer = TC_LINKLAYER_ETHERNET;
  parameters.rate.rate = static_cast<uint32_t>(std::min<uint64_t>(bytes_per_second, UINT32_MAX));
  parameters.limit = frame_bytes;  // of the queue it is made with, which queue_message() replaces
  nla_put(message.get(), TCA_TBF_PARMS, sizeof parameters, &parameters);
  nla_put(message.get(), TCA_TBF_RATE64, sizeof bytes_per_second, &bytes_per_second);
  nla_put(message.get(), TCA_TBF_BURST, sizeof burst, &burst);
  nla_nest_end(message.get(), options);
  return message;
}

Message queue_message(int interface, const Impairment& impairment) {
  Message message = qdisc_message(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, interface,
                                  kTbfHandle | 1, kQueueHandle);
  nla_put_string(message.get(), TCA_KIND, "pfifo");
  const tc_fifo_qopt options = {impairment.queue_packets};
  nla_put(message.get(), TCA_OPTIONS, sizeof options, &options);
  return message;
}

// The tbf and its queue, below the netem at the root.
Result<void> add_rate(Netlink& netlink, const std::string& interface, int index, const Impairment& impairment,
                      unsigned link_mtu_bytes) {
  int code = send(netlink, tbf_message(index, impairment, link_mtu_bytes));
  if (code >= 0) code = send(netlink, queue_message(index, impairment));
  if (code >= 0) return {};
  return fail(interface, std::string("adding tbf: ") + nl_geterror(code),
              "see 'lab doctor', or give the link engine = \"wire\"");
}

}  // namespace

bool has_netem(Netlink& netlink) {
  const int loopback = netlink.index_of("lo");
  Impairment probe;
  probe.delay = std::chrono::milliseconds(1);
  if (send(netlink, netem_message(loopback, probe, 0)) < 0) return false;
  return remove_root(netlink, loopback) >= 0;
}

Result<void> set_netem(Netlink& netlink, const std::string& interface, const Impairment& impairment,
                       unsigned link_mtu_bytes, uint64_t seed) {
  if (const std::string lacking = beyond_netem(impairment); !lacking.empty()) {
    return fail(interface, "netem cannot do " + lacking, "give the link engine = \"wire\"");
  }
  const int index = netlink.index_of(interface);
  // Replacing keeps what the new message does not mention; where there is nothing to remove, all is well.
  (void)remove_root(netlink, index);
  const unsigned mtu =
      impairment.mtu_bytes == 0 ? link_mtu_bytes : std::min(impairment.mtu_bytes, link_mtu_bytes);
  if (auto set = netlink.set_mtu(interface, mtu); !set) return set;
  if (impairment.is_clear()) return {};
  if (const int code = send(netlink, netem_message(index, impairment, seed)); code < 0) {
    return fail(interface, std::string("adding netem: ") + nl_geterror(code),
                "see 'lab doctor', or give the link engine = \"wire\"");
  }
  if (impairment.rate_bits_per_second == 0) return {};
  return add_rate(netlink, interface, index, impairment, link_mtu_bytes);
}

Result<NetemCounters> netem_counters(Netlink& netlink, const std::string& interface) {
  const int index = netlink.index_of(interface);
  nl_cache* raw = nullptr;
  if (const int code = rtnl_qdisc_alloc_cache(netlink.socket(), &raw); code < 0) {
    return fail(interface, std::string("reading netem's counters: ") + nl_geterror(code), "see 'lab doctor'");
  }
  const std::unique_ptr<nl_cache, FreeCache> cache(raw);
  NetemCounters counters;
  uint64_t dropped = 0;
  for (nl_object* one = nl_cache_get_first(cache.get()); one != nullptr; one = nl_cache_get_next(one)) {
    auto* const qdisc = reinterpret_cast<rtnl_tc*>(one);
    if (rtnl_tc_get_ifindex(qdisc) != index) continue;
    if (rtnl_tc_get_handle(qdisc) == kRootHandle) {
      dropped = rtnl_tc_get_stat(qdisc, RTNL_TC_DROPS);
      counters.waiting += rtnl_tc_get_stat(qdisc, RTNL_TC_QLEN);
    } else if (rtnl_tc_get_handle(qdisc) == kTbfHandle) {
      counters.queue_full = rtnl_tc_get_stat(qdisc, RTNL_TC_DROPS);
    }
  }
  counters.lost =
      dropped - std::min(dropped, counters.queue_full);  // netem counts what is refused below it too
  return counters;
}

Result<void> disable_offloads(const std::string& interface) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return fail_errno(interface, "making a socket");
  for (const uint32_t command :
       {uint32_t{ETHTOOL_STSO}, uint32_t{ETHTOOL_SGSO}, uint32_t{ETHTOOL_SGRO}, uint32_t{ETHTOOL_STXCSUM}}) {
    ethtool_value value{command, 0};
    ifreq request{};
    std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
    request.ifr_data = reinterpret_cast<char*>(&value);
    if (::ioctl(socket.get(), SIOCETHTOOL, &request) != 0 && errno != EOPNOTSUPP) {
      return fail_errno(interface, "switching its offloads off");
    }
  }
  return {};
}

}  // namespace lab
