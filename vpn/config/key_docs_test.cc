#include "vpn/config/key_docs.h"

#include <gtest/gtest.h>

#include <string>

#include "vpn/config/ini.h"

namespace vpn::config {
namespace {

TEST(KeyDocs, DescribeExactlyTheKeysOfTheParser) {
  const std::vector<IniKey> keys = ini_keys();
  ASSERT_EQ(key_docs().size(), keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(key_docs()[i].section, keys[i].section);
    EXPECT_EQ(key_docs()[i].key, keys[i].key);
  }
}

TEST(KeyDocs, HaveExamplesThatParse) {
  for (const KeyDoc& doc : key_docs()) {
    std::string text = "[" + std::string(doc.section) + "]\n";
    if (doc.section == "Peer" && doc.key != "PublicKey") {
      text += "PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n";
    }
    text.append(doc.key).append(" = ").append(doc.example).append("\n");
    const auto config = parse_ini(text, "example.conf");
    EXPECT_TRUE(config.has_value()) << config.error().to_string();
  }
}

TEST(KeyDocs, AreComplete) {
  for (const KeyDoc& doc : key_docs()) {
    EXPECT_FALSE(doc.value.empty()) << doc.key;
    EXPECT_TRUE(doc.meaning.ends_with('.')) << doc.key;
    EXPECT_FALSE(doc.default_value.empty()) << doc.key;
  }
}

}  // namespace
}  // namespace vpn::config
