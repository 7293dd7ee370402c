#include "vpn/daemon/log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace vpn::daemon {
namespace {

TEST(LogLine, TextQuotesWhatNeedsIt) {
  EXPECT_EQ(
      log_line_text("wg0", "handshake made", {{"peer", "AbCd"}, {"reason", "no answer"}, {"empty", ""}}),
      "wg0: handshake made peer=AbCd reason=\"no answer\" empty=\"\"");
}

TEST(LogLine, NoControlCharacterReachesATerminal) {
  const std::string line = log_line_text("wg0", "event", {{"value", "a\x1b[31m\n\"b\""}});
  EXPECT_EQ(line, "wg0: event value=\"a?[31m?\\\"b\\\"\"");
}

TEST(LogLine, JsonIsOneObjectALine) {
  const std::string line = log_line_json("2026-01-01T00:00:00.000Z", LogLevel::kWarning, "wg0",
                                         "peer went silent", {{"peer", "a\n\"b\" \xff"}});
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto parsed = nlohmann::json::parse(line);
  EXPECT_EQ(parsed["level"], "warning");
  EXPECT_EQ(parsed["interface"], "wg0");
  EXPECT_EQ(parsed["event"], "peer went silent");
  EXPECT_EQ(parsed["time"], "2026-01-01T00:00:00.000Z");
  EXPECT_TRUE(parsed["peer"].get<std::string>().starts_with("a\n\"b\" "));
}

TEST(LogOptions, NamesOfLevelsAndFormats) {
  EXPECT_EQ(parse_log_level("warning").value(), LogLevel::kWarning);
  EXPECT_FALSE(parse_log_level("loud").has_value());
  EXPECT_EQ(parse_log_format("json").value(), LogFormat::kJson);
  EXPECT_FALSE(parse_log_format("xml").has_value());
}

}  // namespace
}  // namespace vpn::daemon
