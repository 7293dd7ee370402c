// Parsing: what a topology file means, and that every mistake is named with its line and a remedy.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "lab/topology/addresses.h"
#include "lab/topology/topology.h"

namespace lab {
namespace {

Topology sound(const std::string& text, const std::vector<Setting>& settings = {}) {
  ParsedTopology parsed = parse_topology(text, "t.toml", settings);
  for (const Error& problem : parsed.problems) ADD_FAILURE() << problem.to_string();
  return std::move(parsed.topology);
}

std::vector<std::string> texts(const std::vector<IpPrefix>& prefixes) {
  std::vector<std::string> result;
  for (const IpPrefix& prefix : prefixes) result.push_back(prefix.to_string());
  return result;
}

using Texts = std::vector<std::string>;

constexpr const char* kPair = R"([parameters]
loss = "1%"
[[host]]
name = "a"
[[host]]
name = "b"
[[link]]
name = "wan"
ends = ["a", "b"]
subnet = ["192.0.2.0/24", "fd00::/64"]
impair = "delay=20ms loss=$loss"
impair_from = { b = "clear" }
schedule = [{ at = "5s", from = "a", impair = "loss=50%" }, { at = "1s", impair = "clear" }]
[[tunnel]]
name = "wg0"
kind = "vpn"
mesh = ["a", "b"]
subnet = "10.77.0.0/24"
)";

TEST(Topology, PairIsResolved) {
  const Topology t = sound(kPair);
  ASSERT_EQ(t.links.size(), 1U);
  const Link& wan = t.links[0];
  EXPECT_EQ(texts(wan.ends[0].addresses), (Texts{"192.0.2.1/24", "fd00::1/64"}));
  EXPECT_EQ(texts(wan.ends[1].addresses), (Texts{"192.0.2.2/24", "fd00::2/64"}));
  EXPECT_EQ(wan.ends[0].interface, "wan");
  EXPECT_EQ(to_string(wan.weather[0].initial), "delay=20ms loss=1%");
  EXPECT_TRUE(wan.weather[1].initial.is_clear());
  ASSERT_EQ(wan.weather[0].schedule.size(), 2U);
  EXPECT_EQ(wan.weather[0].schedule[0].at, std::chrono::seconds(1));
  EXPECT_EQ(wan.weather[1].schedule.size(), 1U);
  ASSERT_EQ(t.tunnels.size(), 1U);
  const TunnelMember& a = t.tunnels[0].members[0];
  EXPECT_EQ(texts(a.addresses), (Texts{"10.77.0.1/24"}));
  ASSERT_EQ(a.peers.size(), 1U);
  EXPECT_EQ(a.peers[0].endpoint->to_string(), "192.0.2.2:51820");
  EXPECT_EQ(texts(a.peers[0].allowed), (Texts{"10.77.0.2/32"}));
}

TEST(Topology, ParametersAreReplaced) {
  const Topology t = sound(kPair, {{"loss", "7%"}});
  EXPECT_EQ(to_string(t.links[0].weather[0].initial), "delay=20ms loss=7%");
}

TEST(Topology, CopiesOfAHostGetLinksAndAddressesOfTheirOwn) {
  const Topology t = sound(R"([parameters]
clients = 3
[[host]]
name = "client"
count = "$clients"
[[host]]
name = "server"
[[switch]]
name = "internet"
subnet = "198.51.100.0/24"
[[link]]
name = "up"
ends = ["server", "internet"]
[[link]]
name = "access"
ends = ["client*", "internet"]
[[tunnel]]
name = "wg0"
kind = "vpn"
hub = "server"
spokes = ["client*"]
subnet = "10.77.0.0/24"
)",
                           {{"clients", "2"}});
  ASSERT_EQ(t.hosts.size(), 3U);
  EXPECT_EQ(t.hosts[1].name, "client2");
  ASSERT_EQ(t.links.size(), 3U);
  EXPECT_EQ(t.links[2].name, "access2");
  EXPECT_EQ(t.links[2].ends[0].interface, "access");
  EXPECT_EQ(texts(t.links[2].ends[0].addresses), (Texts{"198.51.100.3/24"}));
  const Tunnel& wg = t.tunnels[0];
  EXPECT_EQ(wg.members[0].peers.size(), 2U);
  EXPECT_FALSE(wg.members[0].peers[0].endpoint);
  ASSERT_EQ(wg.members[2].peers.size(), 1U);
  EXPECT_EQ(wg.members[2].peers[0].endpoint->to_string(), "198.51.100.1:51820");
  EXPECT_EQ(texts(wg.members[2].peers[0].allowed), (Texts{"10.77.0.0/24"}));
}

TEST(Topology, RoutesByHostNameFollowTheSharedSubnet) {
  const Topology t = sound(R"([[host]]
name = "a"
routes = ["default via r"]
[[host]]
name = "r"
forward = true
[[link]]
name = "lan"
ends = ["a", "r"]
subnet = ["10.1.0.0/24", "fd01::/64"]
)");
  ASSERT_EQ(t.hosts[0].routes.size(), 2U);
  EXPECT_EQ(t.hosts[0].routes[0].via->to_string(), "10.1.0.2");
  EXPECT_EQ(t.hosts[0].routes[1].to.to_string(), "::/0");
  EXPECT_EQ(t.hosts[0].routes[1].via->to_string(), "fd01::2");
}

TEST(Topology, AnEngineThatCanDoTheWeatherIsSound) {
  const std::string link =
      "[[host]]\nname = \"a\"\n[[host]]\nname = \"b\"\n[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\n";
  (void)sound(link + "engine = \"veth\"\nimpair = \"clear\"\n");
  (void)sound(
      link +
      "engine = \"netem\"\nimpair = \"icmp=off\"\nschedule = [{ at = \"2s\", impair = \"mtu=1400\" }, "
      "{ at = \"1s\", impair = \"icmp=on loss=5%\" }]\n");
  (void)sound(link + "engine = \"wire\"\nimpair = \"drop=data:3\"\n");
}

struct Mistake {
  const char* about;
  const char* text;  // added to kTwoHosts, whose last line is 4
  int line;
  const char* what;
};

constexpr const char* kTwoHosts = "[[host]]\nname = \"a\"\n[[host]]\nname = \"b\"\n";

const Mistake kMistakes[] = {
    {"unknown host", "[[link]]\nname = \"l\"\nends = [\"a\", \"c\"]\n", 7, "leads to nowhere"},
    {"two links alike",
     "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\n[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\n", 9,
     "is the name of something at line 5"},
    {"unknown key", "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\nspeed = \"fast\"\n", 8,
     "has no key 'speed'"},
    {"unknown section", "[[cable]]\nname = \"l\"\n", 5, "'cable' is no part of a topology"},
    {"impairment out of range", "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\nimpair = \"loss=140%\"\n", 8,
     "loss=140%"},
    {"unknown impairment", "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\nimpair = \"lost=1%\"\n", 8,
     "'lost'"},
    {"same address twice",
     "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\naddress = { a = \"10.0.0.1/24\", b = \"10.0.0.1/24\" "
     "}\n",
     5, "overlapping addresses"},
    {"overlapping subnets in a host",
     "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\nsubnet = \"10.0.0.0/24\"\n"
     "[[link]]\nname = \"m\"\nends = [\"a\", \"b\"]\nsubnet = \"10.0.0.0/16\"\n",
     1, "overlapping addresses in host 'a'"},
    {"no name", "[[host]]\n", 5, "has no 'name'"},
    {"bad name", "[[host]]\nname = \"no blanks\"\n", 6, "is no name"},
    {"name too long", "[[link]]\nname = \"sixteencharacter\"\nends = [\"a\", \"b\"]\n", 6, "at most 15"},
    {"no parameter", "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\nimpair = \"loss=$much\"\n", 8,
     "'$much' is no parameter"},
    {"one end", "[[link]]\nname = \"l\"\nends = [\"a\"]\n", 7, "two different ends"},
    {"bad prefix", "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\nsubnet = \"10.0.0.300/24\"\n", 8,
     "10.0.0.300"},
    {"no address left", "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\nsubnet = \"10.0.0.0/32\"\n", 5,
     "no address left"},
    {"bad route", "[[host]]\nname = \"d\"\nroutes = [\"default through b\"]\n", 7, "not understood"},
    {"route to a stranger", "[[host]]\nname = \"d\"\nroutes = [\"default via b\"]\n", 7,
     "has no address on a link"},
    {"bad kind of tunnel",
     "[[tunnel]]\nname = \"w\"\nkind = \"ipsec\"\nmesh = [\"a\", \"b\"]\nsubnet = \"10.7.0.0/24\"\n", 7,
     "ipsec"},
    {"tunnel of a stranger",
     "[[tunnel]]\nname = \"w\"\nkind = \"vpn\"\nmesh = [\"a\", \"z\"]\nsubnet = \"10.7.0.0/24\"\n", 8,
     "no host 'z'"},
    {"bad NAT", "[[host]]\nname = \"r\"\nnat = { kind = \"cone\", inside = \"lan\", outside = \"up\" }\n", 7,
     "no kind of NAT"},
    {"bad service", "[[service]]\nhost = \"a\"\nkind = \"ftp\"\n", 7, "no kind of service"},
    {"bad engine", "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\nengine = \"steam\"\n", 8, "no engine"},
    {"veth with weather",
     "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\nengine = \"veth\"\nimpair = \"loss=1%\"\n", 8,
     "veth has no weather"},
    {"veth with a schedule",
     "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\nengine = \"veth\"\nschedule = [{ at = \"1s\", from = "
     "\"b\", impair "
     "= \"loss=1%\" }]\n",
     8, "veth has no weather"},
    {"beyond netem",
     "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\nengine = \"netem\"\nimpair_from = { b = \"drop=data:3\" "
     "}\n",
     8, "netem cannot do drop lists"},
    {"beyond netem later, by two changes together",
     "[[link]]\nname = \"l\"\nends = [\"a\", \"b\"]\nengine = \"netem\"\nimpair = \"icmp=off\"\n"
     "schedule = [{ at = \"1s\", impair = \"mtu=1400\" }]\n",
     8, "netem cannot do an MTU without ICMP"},
    {"bad syntax", "[[link\n", 5, ""},
};

TEST(Topology, EveryMistakeIsNamedWithLineAndRemedy) {
  for (const Mistake& mistake : kMistakes) {
    const ParsedTopology parsed = parse_topology(std::string(kTwoHosts) + mistake.text, "t.toml");
    const std::string where = "t.toml:" + std::to_string(mistake.line);
    bool found = false;
    std::string all;
    for (const Error& problem : parsed.problems) {
      EXPECT_FALSE(problem.remedy.empty()) << problem.to_string();
      all += problem.to_string() + "\n";
      found |= problem.where == where && problem.to_string().find(mistake.what) != std::string::npos;
    }
    EXPECT_TRUE(found) << mistake.about << ": expected '" << mistake.what << "' at " << where << " among:\n"
                       << all;
  }
}

TEST(Topology, AnUnknownParameterOnTheCommandLineIsNamed) {
  const ParsedTopology parsed = parse_topology(kPair, "t.toml", {{"los", "1%"}});
  ASSERT_EQ(parsed.problems.size(), 1U);
  EXPECT_NE(parsed.problems[0].to_string().find("los"), std::string::npos);
}

TEST(Addresses, TheNthHostOfAPrefix) {
  const auto nth = [](const char* prefix, uint32_t n) {
    const auto address = host_address(*IpPrefix::parse(prefix), n);
    return address ? address->to_string() : "none";
  };
  EXPECT_EQ(nth("10.0.0.0/24", 1), "10.0.0.1/24");
  EXPECT_EQ(nth("10.0.0.0/24", 254), "10.0.0.254/24");
  EXPECT_EQ(nth("10.0.0.0/24", 255), "none");
  EXPECT_EQ(nth("10.0.0.0/16", 300), "10.0.1.44/16");
  EXPECT_EQ(nth("10.0.0.0/31", 1), "10.0.0.1/31");
  EXPECT_EQ(nth("fd00::ff00/64", 256), "fd00::100/64");
  EXPECT_EQ(nth("fd00::/128", 1), "none");
}

TEST(Addresses, Overlap) {
  EXPECT_TRUE(overlap(*IpPrefix::parse("10.0.0.0/8"), *IpPrefix::parse("10.1.0.0/16")));
  EXPECT_TRUE(overlap(*IpPrefix::parse("10.1.0.0/16"), *IpPrefix::parse("10.0.0.0/8")));
  EXPECT_FALSE(overlap(*IpPrefix::parse("10.1.0.0/16"), *IpPrefix::parse("10.2.0.0/16")));
  EXPECT_FALSE(overlap(*IpPrefix::parse("0.0.0.0/0"), *IpPrefix::parse("::/0")));
}

TEST(ShippedTopologies, AreAllSound) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LAB_TOPOLOGY_DIRECTORY)) {
    std::ifstream stream(entry.path());
    std::ostringstream text;
    text << stream.rdbuf();
    const Topology topology = sound(text.str());
    EXPECT_FALSE(topology.about.empty()) << entry.path();
    ++count;
  }
  EXPECT_GT(count, 0U);
}

}  // namespace
}  // namespace lab
