#include "vpn/daemon/event_log.h"

#include <algorithm>

#include "vpn/core/constants.h"

namespace vpn::daemon {
namespace {

using core::Drop;
using core::EventKind;

constexpr char kNoAnswer[] =
    "no answer: wrong address or port, a firewall, or a peer that has another key or does not know ours";
constexpr char kAnswerRefused[] =
    "the answer does not verify: the preshared keys differ, or it was tampered with";

// Handshake messages that are dropped before a peer is known, or by which one shows to be none.
constexpr Drop kRefusals[] = {Drop::kBadMac1,        Drop::kHandshakeAuth,     Drop::kUnknownPeer,
                              Drop::kLowOrderKey,    Drop::kOldTimestamp,      Drop::kNoPrivateKey,
                              Drop::kCookieRequired, Drop::kHandshakeOverload, Drop::kRateLimited};

std::string failure_of(const core::Event& event) {
  if (event.initiator && event.drop == Drop::kHandshakeAuth) return kAnswerRefused;
  return event.drop ? std::string(core::drop_meaning(*event.drop)) : "";
}

}  // namespace

struct PeerTelling::Line {
  LogLevel level;
  const char* event;
  const char* field = nullptr;  // besides the peer
  std::string value = {};
};

PeerTelling::Line PeerTelling::line_of(const core::Event& event) {
  const std::string role = event.initiator ? "initiator" : "responder";
  switch (event.kind) {
    case EventKind::kHandshakeInitiated:
      return {LogLevel::kDebug, "handshake begun"};
    case EventKind::kHandshakeCompleted: {
      const auto before = std::exchange(last_handshake_, event.when);
      const bool renews = before && event.when - *before < core::kRejectAfterTime;
      if (renews) return {LogLevel::kDebug, "session rekeyed", "role", role};
      return {LogLevel::kInfo, "handshake made", "role", role};
    }
    case EventKind::kHandshakeFailed:
      return {LogLevel::kWarning, "handshake failed", "reason", failure_of(event)};
    case EventKind::kHandshakeGaveUp:
      last_handshake_.reset();
      return {level_of_silence(), "handshake failed", "reason", kNoAnswer};
    case EventKind::kCookieReceived:
      return {LogLevel::kInfo, "handshake put off", "reason", "the peer is under load and sent a cookie"};
    case EventKind::kRoamed:
      return {LogLevel::kInfo, "peer roamed", "endpoint",
              event.endpoint ? event.endpoint->remote.to_string() : "unknown"};
    case EventKind::kWentSilent:
      last_handshake_.reset();
      return {level_of_silence(), "peer went silent"};
    case EventKind::kUnanswered:
      last_handshake_.reset();
      return {level_of_silence(), "peer went silent", "reason", kNoAnswer};
    case EventKind::kReconnected:
      silent_ = false;
      return {LogLevel::kInfo, "peer reconnected"};
    case EventKind::kSessionExpired:
      break;
  }
  return {LogLevel::kInfo, "session expired"};
}

// Said once; that it goes on is for who looks closely.
LogLevel PeerTelling::level_of_silence() {
  return std::exchange(silent_, true) ? LogLevel::kDebug : LogLevel::kWarning;
}

bool PeerTelling::may_write(Instant now) {
  const auto earned = (now - refilled_) / kSpacing;
  if (earned > 0) {
    lines_left_ = static_cast<uint32_t>(std::min<int64_t>(kBurst, lines_left_ + earned));
    refilled_ += kSpacing * earned;
  }
  if (lines_left_ == 0) ++left_out_;
  return lines_left_ > 0 && lines_left_-- > 0;
}

void PeerTelling::tell(const core::Event& event, const std::string& peer, Log& log) {
  const Line line = line_of(event);
  if (!log.wants(line.level) || !may_write(event.when)) return;
  Log::Fields fields = {{"peer", peer}};
  if (line.field != nullptr) fields.emplace_back(line.field, line.value);
  if (left_out_ > 0) fields.emplace_back("lines_left_out", std::to_string(std::exchange(left_out_, 0)));
  log.write(line.level, line.event, fields);
}

void RefusalTelling::tell(const core::DropCounters& drops, Instant now, Log& log) {
  for (const Drop drop : kRefusals) {
    Told& told = told_[static_cast<size_t>(drop)];
    const uint64_t count = drops.of(drop);
    if (count == told.count || (told.when && now - *told.when < kSpacing)) continue;
    log.warning("handshakes refused", {{"reason", std::string(core::drop_meaning(drop))},
                                       {"count", std::to_string(count - told.count)}});
    told = {count, now};
  }
}

}  // namespace vpn::daemon
