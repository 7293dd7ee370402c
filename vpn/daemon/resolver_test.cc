#include "vpn/daemon/resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <future>

namespace vpn::daemon {
namespace {

TEST(Resolver, AddressesNeedNoAsking) {
  EXPECT_FALSE(is_host_name({"192.0.2.1", 1}));
  EXPECT_FALSE(is_host_name({"2001:db8::1", 1}));
  EXPECT_TRUE(is_host_name({"vpn.example.org", 1}));
  EXPECT_THAT(resolve({"192.0.2.1", 7}).value(), testing::ElementsAre(*UdpAddress::parse("192.0.2.1:7")));
  EXPECT_THAT(resolve({"2001:db8::1", 7}).value(),
              testing::ElementsAre(*UdpAddress::parse("[2001:db8::1]:7")));
}

TEST(Resolver, ANameThatDoesNotResolveIsNamed) {
  // A host label of more than 63 characters fails without a question on the network.
  const config::EndpointName name{std::string(64, 'a') + ".invalid", 7};
  EXPECT_THAT(resolve(name).error().to_string(), testing::HasSubstr("does not resolve"));
}

TEST(BackgroundResolver, AnswersEveryQuestionInOrder) {
  BackgroundResolver resolver;
  resolver.ask({{"192.0.2.1", 1}, {"192.0.2.2", 2}});
  resolver.ask({{std::string(64, 'a'), 3}});
  std::vector<BackgroundResolver::Answer> answers;
  while (answers.size() < 3) {
    pollfd waiting{resolver.fd(), POLLIN, 0};
    ASSERT_EQ(poll(&waiting, 1, 10'000), 1);
    for (auto& answer : resolver.take_answers()) answers.push_back(std::move(answer));
  }
  EXPECT_THAT(answers[0].addresses.value(), testing::ElementsAre(*UdpAddress::parse("192.0.2.1:1")));
  EXPECT_THAT(answers[1].addresses.value(), testing::ElementsAre(*UdpAddress::parse("192.0.2.2:2")));
  EXPECT_FALSE(answers[2].addresses.has_value());
  EXPECT_EQ(answers[2].endpoint.port, 3);
}

TEST(BackgroundResolver, DoesNotWaitForAnAnswerWhenItEnds) {
  std::promise<void> asked, answer, done;
  {
    BackgroundResolver resolver([&](const config::EndpointName&) {
      asked.set_value();
      answer.get_future().wait();
      done.set_value();
      return Result<std::vector<UdpAddress>, Error>(std::vector<UdpAddress>{});
    });
    resolver.ask({{"name", 1}, {"never asked for", 2}});
    asked.get_future().wait();
  }  // with a thread that waits for its answer this would hang
  answer.set_value();
  done.get_future().wait();
}

TEST(BackgroundResolver, EndsWithoutHavingBeenAsked) {
  BackgroundResolver resolver;
}

}  // namespace
}  // namespace vpn::daemon
