// Holds the tables of vpn/docs/protocol.md against the code.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "vpn/core/constants.h"
#include "vpn/core/drop.h"
#include "vpn/core/replay_window.h"
#include "vpn/wire/messages.h"

namespace vpn::core {
namespace {

// The rows of the table below the heading that begins with `heading`: first cell → the other cells.
std::map<std::string, std::vector<std::string>> read_table(const std::string& heading) {
  std::ifstream file(PROTOCOL_DOC);
  EXPECT_TRUE(file.is_open()) << PROTOCOL_DOC;
  std::map<std::string, std::vector<std::string>> rows;
  bool inside = false;
  size_t line_in_table = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) inside = line.starts_with("## " + heading);
    if (!inside || !line.starts_with("|") || ++line_in_table <= 2) continue;  // the header and its rule
    std::vector<std::string> cells;
    std::istringstream row(line.substr(1));
    for (std::string cell; std::getline(row, cell, '|');) {
      const size_t first = cell.find_first_not_of(" `");
      if (first != std::string::npos)
        cells.push_back(cell.substr(first, cell.find_last_not_of(" `") - first + 1));
    }
    rows[cells.at(0)] = {cells.begin() + 1, cells.end()};
  }
  return rows;
}

using Rows = std::map<std::string, std::vector<std::string>>;

std::string text(Duration duration) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  return milliseconds % 1000 == 0 ? std::to_string(milliseconds / 1000) + " s"
                                  : std::to_string(milliseconds) + " ms";
}

TEST(ProtocolDoc, Messages) {
  const auto row = [](wire::MessageType type, size_t bytes) {
    return std::vector<std::string>{std::to_string(static_cast<int>(type)), std::to_string(bytes)};
  };
  EXPECT_EQ(read_table("Messages"),
            (Rows{{"initiation", row(wire::MessageType::kInitiation, wire::kInitiationBytes)},
                  {"response", row(wire::MessageType::kResponse, wire::kResponseBytes)},
                  {"cookie reply", row(wire::MessageType::kCookieReply, wire::kCookieReplyBytes)},
                  {"data, empty (keepalive)", row(wire::MessageType::kData, wire::kKeepaliveBytes)}}));
}

TEST(ProtocolDoc, Numbers) {
  Rows expected;
  const auto number = [&expected](const char* name, uint64_t value) {
    expected[name] = {std::to_string(value)};
  };
  const auto time = [&expected](const char* name, Duration value) { expected[name] = {text(value)}; };
  number("kRekeyAfterMessages", kRekeyAfterMessages);
  number("kRejectAfterMessages", kRejectAfterMessages);
  time("kRekeyAfterTime", kRekeyAfterTime);
  time("kRejectAfterTime", kRejectAfterTime);
  time("kRekeyTimeout", kRekeyTimeout);
  time("kMaxJitter", kMaxJitter);
  time("kRekeyAttemptTime", kRekeyAttemptTime);
  time("kKeepaliveTimeout", kKeepaliveTimeout);
  time("kNoAnswerTimeout", kNoAnswerTimeout);
  time("kLastChanceRekeyTime", kLastChanceRekeyTime);
  time("kKeyErasureTime", kKeyErasureTime);
  time("kSendMargin", kSendMargin);
  time("kCookieSecretLifetime", kCookieSecretLifetime);
  time("kCookieLatency", kCookieLatency);
  time("kMinInitiationSpacing", kMinInitiationSpacing);
  number("kRateLimitPerSecond", kRateLimitPerSecond);
  number("kRateLimitBurst", kRateLimitBurst);
  number("kHandshakeQueueLength", kHandshakeQueueLength);
  time("kUnderLoadStickiness", kUnderLoadStickiness);
  number("kMaxStagedPackets", kMaxStagedPackets);
  number("kMaxQueuedCookieReplies", kMaxQueuedCookieReplies);
  number("kPaddingMultiple", kPaddingMultiple);
  number("ReplayWindow::kBits", ReplayWindow::kBits);
  number("ReplayWindow::kUsableBits", ReplayWindow::kUsableBits);
  EXPECT_EQ(read_table("Numbers"), expected);
}

TEST(ProtocolDoc, Drops) {
  Rows expected;
  for (size_t index = 0; index < kDropCount; ++index) {
    const Drop drop = static_cast<Drop>(index);
    expected[std::string(drop_name(drop))] = {std::string(drop_meaning(drop))};
  }
  EXPECT_EQ(expected.size(), kDropCount) << "two reasons share a name";
  EXPECT_EQ(read_table("Drops"), expected);
}

}  // namespace
}  // namespace vpn::core
