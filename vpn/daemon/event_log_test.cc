#include "vpn/daemon/event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vpn::daemon {
namespace {

using core::Drop;
using core::EventKind;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

class EventLogTest : public testing::Test {
 protected:
  // What the log writes of an event, `after` from the beginning.
  std::string told(EventKind kind, Duration after, std::optional<Drop> drop = {}, bool initiator = true) {
    core::Event event;
    event.kind = kind;
    event.when = Instant{} + after;
    event.drop = drop;
    event.initiator = initiator;
    event.endpoint = core::Endpoint{*UdpAddress::parse("192.0.2.7:51820"), std::nullopt, 0};
    testing::internal::CaptureStderr();
    {
      Log log({LogLevel::kDebug, LogFormat::kJson, LogTarget::kStderr}, "wg0");
      peer_.tell(event, "laptop AbCd…", log);
    }
    return testing::internal::GetCapturedStderr();
  }
  std::string refusals_told(Duration after) {
    testing::internal::CaptureStderr();
    {
      Log log({LogLevel::kDebug, LogFormat::kJson, LogTarget::kStderr}, "wg0");
      refusals_.tell(drops_, Instant{} + after, log);
    }
    return testing::internal::GetCapturedStderr();
  }

  core::DropCounters drops_;

 private:
  PeerTelling peer_;
  RefusalTelling refusals_;
};

TEST_F(EventLogTest, ARenewalWithinASessionsLifeIsNoNewHandshake) {
  EXPECT_THAT(told(EventKind::kHandshakeCompleted, 1s, {}, false),
              AllOf(HasSubstr(R"("level":"info")"), HasSubstr(R"("event":"handshake made")"),
                    HasSubstr(R"("peer":"laptop AbCd…","role":"responder")")));
  EXPECT_THAT(told(EventKind::kHandshakeCompleted, 121s),
              AllOf(HasSubstr(R"("level":"debug")"), HasSubstr(R"("event":"session rekeyed")"),
                    HasSubstr(R"("role":"initiator")")));
  EXPECT_THAT(told(EventKind::kHandshakeCompleted, 302s), HasSubstr("handshake made"));
}

TEST_F(EventLogTest, AfterASilenceTheHandshakeIsANewOne) {
  EXPECT_THAT(told(EventKind::kHandshakeCompleted, 1s), HasSubstr("handshake made"));
  EXPECT_THAT(told(EventKind::kWentSilent, 16s),
              AllOf(HasSubstr(R"("level":"warning")"), HasSubstr("peer went silent")));
  EXPECT_THAT(told(EventKind::kHandshakeCompleted, 20s), HasSubstr("handshake made"));
  EXPECT_THAT(told(EventKind::kReconnected, 20s), HasSubstr("peer reconnected"));
}

TEST_F(EventLogTest, SilenceIsSaidOnceHoweverItIsNoticed) {
  const auto warned = AllOf(HasSubstr(R"("level":"warning")"), HasSubstr("peer went silent"));
  EXPECT_THAT(told(EventKind::kUnanswered, 15s), warned);
  EXPECT_THAT(told(EventKind::kWentSilent, 30s), HasSubstr(R"("level":"debug")"));
  EXPECT_THAT(told(EventKind::kHandshakeGaveUp, 91s), HasSubstr(R"("level":"debug")"));
  EXPECT_THAT(told(EventKind::kReconnected, 95s), HasSubstr("peer reconnected"));
  EXPECT_THAT(told(EventKind::kWentSilent, 120s), warned);
}

TEST_F(EventLogTest, AFailureSaysWhy) {
  EXPECT_THAT(told(EventKind::kHandshakeGaveUp, 1s),
              AllOf(HasSubstr(R"("event":"handshake failed")"), HasSubstr("no answer: wrong address")));
  EXPECT_THAT(told(EventKind::kHandshakeFailed, 2s, Drop::kHandshakeAuth),
              HasSubstr("preshared keys differ"));
  EXPECT_THAT(told(EventKind::kHandshakeFailed, 3s, Drop::kWrongSuite, false),
              HasSubstr("other cipher suite"));
  EXPECT_THAT(told(EventKind::kCookieReceived, 4s),
              AllOf(HasSubstr("handshake put off"), HasSubstr("sent a cookie")));
}

TEST_F(EventLogTest, OtherEvents) {
  EXPECT_THAT(told(EventKind::kHandshakeInitiated, 1s), HasSubstr("handshake begun"));
  EXPECT_THAT(told(EventKind::kRoamed, 2s),
              AllOf(HasSubstr("peer roamed"), HasSubstr(R"("endpoint":"192.0.2.7:51820")")));
  EXPECT_THAT(told(EventKind::kSessionExpired, 3s), HasSubstr("session expired"));
}

TEST_F(EventLogTest, APeerThatMovesWithoutEndDoesNotFillTheDisk) {
  size_t lines = 0;
  for (int step = 0; step < 1000; ++step) {
    if (!told(EventKind::kRoamed, std::chrono::milliseconds(step)).empty()) ++lines;
  }
  EXPECT_EQ(lines, PeerTelling::kBurst);
  EXPECT_THAT(told(EventKind::kRoamed, PeerTelling::kSpacing + 1s), HasSubstr(R"("lines_left_out":"980")"));
  EXPECT_THAT(told(EventKind::kRoamed, PeerTelling::kSpacing + 2s), IsEmpty());
}

TEST_F(EventLogTest, RefusalsAreCountedNotListed) {
  EXPECT_THAT(refusals_told(0s), IsEmpty());
  drops_.add(Drop::kBadMac1, 3);
  EXPECT_THAT(refusals_told(1s),
              AllOf(HasSubstr("handshakes refused"), HasSubstr("does not know our public key"),
                    HasSubstr(R"("count":"3")")));
  drops_.add(Drop::kBadMac1, 1000);
  drops_.add(Drop::kReplayed);  // no handshake
  EXPECT_THAT(refusals_told(2s), IsEmpty());
  drops_.add(Drop::kUnknownPeer);
  EXPECT_THAT(refusals_told(3s), AllOf(HasSubstr("not configured"), HasSubstr(R"("count":"1")")));
  EXPECT_THAT(refusals_told(62s), HasSubstr(R"("count":"1000")"));
  EXPECT_THAT(refusals_told(200s), IsEmpty());
}

}  // namespace
}  // namespace vpn::daemon
