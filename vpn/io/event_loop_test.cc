#include "vpn/io/event_loop.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "vpn/io/system.h"

namespace vpn::io {
namespace {

class EventLoopTest : public testing::Test {
 protected:
  static int make_readable() { return eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC); }

  EventLoop loop_ = *EventLoop::create();
};

TEST_F(EventLoopTest, CallsHandlersThenAfterRound) {
  const UniqueFd ready(make_readable());
  std::vector<std::string> calls;
  loop_.watch(ready.get(), [&] {
    calls.emplace_back("handler");
    loop_.unwatch(ready.get());
  });
  loop_.run([&] {
    calls.emplace_back("after");
    loop_.stop();
  });
  EXPECT_EQ(calls, (std::vector<std::string>{"handler", "after"}));
}

TEST_F(EventLoopTest, AHandlerMayRemoveAnotherThatIsDueInTheSameRound) {
  const UniqueFd first(make_readable());
  const UniqueFd second(make_readable());
  int calls = 0;
  loop_.watch(first.get(), [&] {
    ++calls;
    loop_.unwatch(second.get());
  });
  loop_.watch(second.get(), [&] {
    ++calls;
    loop_.unwatch(first.get());
  });
  loop_.run([&] { loop_.stop(); });
  EXPECT_EQ(calls, 1) << "whichever came first removed the other";
}

TEST_F(EventLoopTest, TheTimerComesWhenItIsDueAndNotAgain) {
  const Instant due = read_clock().monotonic + std::chrono::milliseconds(20);
  int calls = 0;
  loop_.set_timer_handler([&] {
    EXPECT_GE(read_clock().monotonic, due);
    if (++calls == 1) loop_.set_timer(read_clock().monotonic);  // in the past: at once
    if (calls == 2) loop_.stop();
  });
  loop_.set_timer(due);
  loop_.run([] {});
  EXPECT_EQ(calls, 2);
}

TEST_F(EventLoopTest, WritableIsToldOnlyWhileAskedFor) {
  const UniqueFd counter(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));  // writable, not readable
  int calls = 0;
  loop_.watch(counter.get(), [&] {
    ++calls;
    loop_.watch_writable(counter.get(), false);
    loop_.set_timer(read_clock().monotonic + std::chrono::milliseconds(10));
  });
  loop_.set_timer_handler([&] { loop_.stop(); });
  loop_.watch_writable(counter.get(), true);
  loop_.run([] {});
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, ReadableIsNotToldWhileWritableIsAskedFor) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd ours(ends[0]), theirs(ends[1]);
  ASSERT_EQ(write(theirs.get(), "?", 1), 1);
  while (write(ours.get(), "an answer that nobody takes", 27) > 0) {
  }
  int calls = 0;
  loop_.watch(ours.get(), [&] { ++calls; });
  loop_.watch_writable(ours.get(), true);
  loop_.set_timer_handler([&] { loop_.stop(); });
  loop_.set_timer(read_clock().monotonic + std::chrono::milliseconds(10));
  loop_.run([] {});
  EXPECT_EQ(calls, 0) << "there is a question, but no room for its answer: to be called would spin";
}

TEST(System, ErrorsHaveTexts) {
  EXPECT_EQ(error_text(EACCES), "Permission denied");
}

TEST(System, RandomBytesDiffer) {
  SystemRandom random;
  std::array<uint8_t, 32> a{};
  std::array<uint8_t, 32> b{};
  random.fill(a);
  random.fill(b);
  EXPECT_NE(a, b);
}

}  // namespace
}  // namespace vpn::io
