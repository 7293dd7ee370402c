#include "vpn/host/dns_process.h"

#include <gtest/gtest.h>

namespace vpn::host {
namespace {

// Of systemd-resolved and an interface that cannot be: nothing here sets anything.
constexpr DnsMethod kMethod = DnsMethod::kResolved;
constexpr unsigned kNoInterface = 0;

TEST(DnsProcess, TakesNothingThatIsNoDomain) {
  for (const char* domain : {"", "a b", "a\nnameserver 192.0.2.1", "a\x7f"}) {
    const DnsProcess process("wg0", true);
    EXPECT_TRUE(process.may_set(kMethod).has_value());
    const auto set = process.set(kMethod, kNoInterface, {{}, {domain}, true});
    ASSERT_FALSE(set.has_value()) << domain;
    EXPECT_EQ(set.error().problem, "the process that sets the name servers is gone") << domain;
  }
}

TEST(DnsProcess, RefusesWhatIsTooLongAndGoesOn) {
  const DnsProcess process("wg0", true);
  EXPECT_FALSE(process.set(kMethod, kNoInterface, {{}, {std::string(100000, 'a')}, true}).has_value());
  EXPECT_TRUE(process.may_set(kMethod).has_value());
}

TEST(DnsProcess, HandsOnWhatFailed) {
  const DnsProcess process("wg0", true);
  const auto set = process.set(kMethod, kNoInterface, {{}, {"corp.example"}, true});
  ASSERT_FALSE(set.has_value());
  EXPECT_EQ(set.error().where, "systemd-resolved");
}

}  // namespace
}  // namespace vpn::host
