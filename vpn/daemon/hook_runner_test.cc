#include "vpn/daemon/hook_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace vpn::daemon {
namespace {

config::Hooks hooks_of(std::vector<std::string> config::Hooks::*phase, std::vector<std::string> commands) {
  config::Hooks hooks;
  hooks.*phase = std::move(commands);
  return hooks;
}

Result<bool, Error> run(HookRunner& runner, HookPhase phase) {
  if (!runner.begin(phase)) return true;
  return runner.finish(phase);
}

class HookRunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / ("hooks" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string note(const std::string& text) const {
    return "echo " + text + " >> " + (folder_ / "notes").string();
  }
  [[nodiscard]] std::string notes() const {
    std::ostringstream text;
    text << std::ifstream(folder_ / "notes").rdbuf();
    return text.str();
  }

  std::filesystem::path folder_;
};

TEST_F(HookRunnerTest, RunsAPhasesCommandsInOrderWithTheInterfacesName) {
  config::Hooks hooks = hooks_of(&config::Hooks::pre_up, {note("first %i"), note("second %i$INTERFACE")});
  hooks.post_down = {note("never")};
  HookRunner runner(hooks, "wg0");
  EXPECT_TRUE(run(runner, HookPhase::kPreUp).has_value());
  EXPECT_TRUE(run(runner, HookPhase::kPostUp).has_value()) << "nothing to run";
  EXPECT_EQ(notes(), "first wg0\nsecond wg0wg0\n");
}

TEST_F(HookRunnerTest, TheFirstFailureEndsThePhaseAndIsNamed) {
  HookRunner runner(hooks_of(&config::Hooks::pre_down, {"exit 7", note("after")}), "wg0");
  const auto ran = run(runner, HookPhase::kPreDown);
  ASSERT_FALSE(ran.has_value());
  EXPECT_THAT(ran.error().to_string(), testing::HasSubstr("the command 'exit 7' failed: exit status 7"));
  EXPECT_EQ(notes(), "");
}

TEST_F(HookRunnerTest, ASignalIsAFailure) {
  HookRunner runner(hooks_of(&config::Hooks::pre_up, {"kill -9 $$"}), "wg0");
  const auto ran = run(runner, HookPhase::kPreUp);
  ASSERT_FALSE(ran.has_value());
  EXPECT_THAT(ran.error().to_string(), testing::HasSubstr("exit status 137"));
}

TEST_F(HookRunnerTest, TheSignalsThatTheDaemonKeepsToItselfEndACommand) {
  for (const int signal : {SIGHUP, SIGINT, SIGTERM}) {
    HookRunner runner(hooks_of(&config::Hooks::pre_up, {"kill -" + std::to_string(signal) + " $$"}), "wg0");
    const auto ran = run(runner, HookPhase::kPreUp);
    ASSERT_FALSE(ran.has_value()) << "signal " << signal;
    EXPECT_THAT(ran.error().to_string(), testing::HasSubstr("exit status " + std::to_string(128 + signal)));
  }
}

// Also one that does not listen to SIGTERM.
TEST_F(HookRunnerTest, ACommandIsEndedWithAllThatItWaitsFor) {
  config::Hooks hooks =
      hooks_of(&config::Hooks::post_up, {"trap '' TERM; " + note("runs") + "; (sleep 1000; true)"});
  hooks.post_down = {note("after")};
  HookRunner runner(hooks, "wg0");
  runner.end_command();  // none runs
  ASSERT_TRUE(runner.begin(HookPhase::kPostUp));
  while (notes().empty()) std::this_thread::yield();
  runner.end_command();
  const auto ran = runner.finish(HookPhase::kPostUp);
  ASSERT_FALSE(ran.has_value());
  EXPECT_THAT(ran.error().to_string(), testing::HasSubstr("failed: exit status 1"));
  EXPECT_TRUE(run(runner, HookPhase::kPostDown).has_value());
  EXPECT_EQ(notes(), "runs\nafter\n");
}

TEST_F(HookRunnerTest, GoesOnAfterLettingGoOfTheTerminal) {
  HookRunner runner(hooks_of(&config::Hooks::post_down, {note("still")}), "wg0");
  runner.let_go_of_terminal();
  EXPECT_TRUE(run(runner, HookPhase::kPostDown).has_value());
  EXPECT_EQ(notes(), "still\n");
}

}  // namespace
}  // namespace vpn::daemon
