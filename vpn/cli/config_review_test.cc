#include "vpn/cli/config_review.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vpn/config/ini.h"

namespace vpn::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

// A key pair: RFC 7748 section 6.1.
constexpr char kOwn[] = "[Interface]\nPrivateKey = dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n";
constexpr char kOwnPeer[] = "[Peer]\nPublicKey = hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n";
constexpr char kPeer[] = "[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n";

std::vector<std::string> warnings_of(const std::string& text) {
  const auto config = config::parse_ini(text, "wg0.conf");
  EXPECT_TRUE(config.has_value()) << config.error().to_string();
  std::vector<std::string> warnings;
  if (!config) return warnings;
  for (const Error& warning : review_config(*config, "wg0.conf")) warnings.push_back(warning.to_string());
  return warnings;
}

TEST(ConfigReview, HasNothingToSayOfASoundFile) {
  EXPECT_THAT(warnings_of(std::string(kOwn) + kPeer + "AllowedIPs = 10.0.0.2/32\n"), IsEmpty());
}

TEST(ConfigReview, MissesThePrivateKey) {
  EXPECT_THAT(warnings_of("[Interface]\n"), ElementsAre(StartsWith("wg0.conf: PrivateKey: missing")));
}

TEST(ConfigReview, KnowsItsOwnKeyAmongThePeers) {
  EXPECT_THAT(warnings_of(std::string(kOwn) + kOwnPeer + "AllowedIPs = 10.0.0.2/32\n"),
              ElementsAre(StartsWith("wg0.conf:3: PublicKey: this is the interface's own key")));
}

TEST(ConfigReview, MissesAllowedIps) {
  EXPECT_THAT(warnings_of(std::string(kOwn) + kPeer),
              ElementsAre(StartsWith("wg0.conf:3: AllowedIPs: missing")));
}

TEST(ConfigReview, TellsWhereAnAddressStandsForItsNetwork) {
  EXPECT_THAT(warnings_of(std::string(kOwn) + kPeer + "AllowedIPs = 10.0.0.0/8\nAllowedIPs = 10.0.0.5/16\n"),
              ElementsAre(StartsWith("wg0.conf:6: AllowedIPs: an address with bits beyond its prefix")));
}

TEST(ConfigReview, SeesANetworkWithTwoOwners) {
  EXPECT_THAT(
      warnings_of("[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n" +
                  (kPeer + std::string("AllowedIPs = 10.0.0.0/8, fd00::/64\n")) + kOwnPeer +
                  "AllowedIPs = 10.0.0.0/9, fd00::/64\n"),
      ElementsAre(StartsWith("wg0.conf:6: AllowedIPs: this peer takes fd00::/64 from the peer at line 3")));
}

TEST(ConfigReview, WantsAFileForItsOwnerAlone) {
  EXPECT_THAT(review_mode(0100600, "f"), IsEmpty());
  EXPECT_THAT(review_mode(0100400, "f"), IsEmpty());
  EXPECT_EQ(review_mode(0100640, "f").front().problem, "holds keys, and its group may open it");
  EXPECT_EQ(review_mode(0100644, "f").front().remedy, "chmod 600 f");
}

}  // namespace
}  // namespace vpn::cli
