#include "vpn/host/netlink_message.h"

#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <cstring>
#include <vector>

namespace vpn::host {
namespace {

using Bytes = std::vector<uint8_t>;

template <typename Fixed>
Bytes message_of(uint16_t type, const Fixed& fixed) {
  Bytes bytes(NLMSG_HDRLEN + sizeof fixed);
  const nlmsghdr header{static_cast<uint32_t>(bytes.size()), type, 0, 0, 0};
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + NLMSG_HDRLEN, &fixed, sizeof fixed);
  return bytes;
}

void append(Bytes& bytes, uint16_t type, const Bytes& value) {
  const rtattr header{static_cast<uint16_t>(RTA_LENGTH(value.size())), type};
  const auto* const from = reinterpret_cast<const uint8_t*>(&header);
  bytes.insert(bytes.end(), from, from + sizeof header);
  bytes.insert(bytes.end(), value.begin(), value.end());
  bytes.resize(NLMSG_ALIGN(bytes.size()));
}

TEST(NetlinkMessage, CutShortInItsFixedPartSaysNothing) {
  const Bytes route = message_of(RTM_NEWROUTE, rtmsg{});
  EXPECT_TRUE(read_route(route).has_value());
  EXPECT_FALSE(read_route(BytesView(route).first(route.size() - 1)));
  const Bytes link = message_of(RTM_NEWLINK, ifinfomsg{});
  EXPECT_TRUE(read_link(link).has_value());
  EXPECT_FALSE(read_link(BytesView(link).first(link.size() - 1)));
  EXPECT_FALSE(read_socket(link));
  EXPECT_FALSE(read_rule_priority(BytesView(link).first(NLMSG_HDRLEN)));
}

TEST(NetlinkMessage, AnAttributeTooShortForItsValueIsAsGoodAsNone) {
  Bytes route = message_of(RTM_NEWROUTE, rtmsg{});
  append(route, RTA_TABLE, {254, 0, 0});
  append(route, RTA_DST, {10, 0, 0});
  append(route, RTA_OIF, {7, 0, 0, 0});
  const auto read = read_route(route);
  ASSERT_TRUE(read.has_value());
  EXPECT_FALSE(read->table);
  EXPECT_FALSE(read->destination);
  EXPECT_EQ(read->interface, 7U);
}

TEST(NetlinkMessage, ALinkIsUpWhereItsFlagsSaySo) {
  for (const unsigned flags : {0U, static_cast<unsigned>(IFF_RUNNING), static_cast<unsigned>(IFF_UP)}) {
    ifinfomsg fixed{};
    fixed.ifi_flags = flags;
    EXPECT_EQ(read_link(message_of(RTM_NEWLINK, fixed))->is_up, flags == IFF_UP);
  }
}

TEST(NetlinkMessage, AnMtuThatExpiresIsNotTakenForTheRoutes) {
  Bytes metrics;
  append(metrics, RTAX_MTU, {0x78, 0x05, 0, 0});
  for (const uint8_t expires : {uint8_t{0}, uint8_t{9}}) {
    Bytes route = message_of(RTM_NEWROUTE, rtmsg{});
    append(route, RTA_METRICS, metrics);
    Bytes cache(sizeof(rta_cacheinfo));
    cache[offsetof(rta_cacheinfo, rta_expires)] = expires;
    append(route, RTA_CACHEINFO, cache);
    EXPECT_EQ(read_route(route)->mtu, expires == 0 ? 1400U : 0U);
  }
}

}  // namespace
}  // namespace vpn::host
