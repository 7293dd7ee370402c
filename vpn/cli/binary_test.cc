// The program itself: its exit codes, and where its output goes (issue bar: 0 fine, 1 failure or bad input, 2
// usage).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <poll.h>

#include <chrono>

#include "vpn/cli/test_command.h"
#include "vpn/cli/test_daemon.h"
#include "vpn/cli/test_report.h"

namespace vpn::cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// A running `vpn`; its standard output goes to `out_fd`, its input comes from `in_fd`.
class Program {
 public:
  Program(std::vector<std::string> arguments, int in_fd, int out_fd, const char* path = VPN_PROGRAM) {
    std::vector<char*> pointers{const_cast<char*>(path)};
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in_fd, 0);
    posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    EXPECT_EQ(posix_spawn(&pid_, path, &actions, nullptr, pointers.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Program() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      (void)wait();
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void signal(int number) const { kill(pid_, number); }
  // The exit code; 128 and the signal's number after one.
  int wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
};

int exit_code_of(std::vector<std::string> arguments, const char* out = "/dev/null",
                 const char* path = VPN_PROGRAM) {
  const io::UniqueFd in_fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const io::UniqueFd out_fd(open(out, O_WRONLY | O_CLOEXEC));
  return Program(std::move(arguments), in_fd.get(), out_fd.get(), path).wait();
}

TEST(Binary, ExitsWith0WhenAllIsFine) {
  EXPECT_EQ(exit_code_of({"--help"}), 0);
  EXPECT_EQ(exit_code_of({"--version"}), 0);
  EXPECT_EQ(exit_code_of({"genkey"}), 0);
}

TEST(Binary, ExitsWith1OnFailureAndBadInput) {
  EXPECT_EQ(exit_code_of({"check", "/nonexistent.conf"}), 1);
  EXPECT_EQ(exit_code_of({"pubkey"}), 1);
  EXPECT_EQ(exit_code_of({"show", "wg0", "--socket-dir", "/nonexistent"}), 1);
  EXPECT_EQ(exit_code_of({"genkey"}, "/dev/full"), 1);
}

TEST(Binary, ExitsWith2OnAWrongCommandLine) {
  EXPECT_EQ(exit_code_of({}), 2);
  EXPECT_EQ(exit_code_of({"check"}), 2);
  EXPECT_EQ(exit_code_of({"show", "--no-such-option"}), 2);
  EXPECT_EQ(exit_code_of({}, "/dev/null", VPN_PROGRAM "-wireguard"), 2);
}

// `vpn watch` on a pseudo-terminal of 100 × 30.
class WatchOnTerminal : public testing::Test {
 protected:
  void SetUp() override {
    const winsize size{30, 100, 0, 0};
    int master = -1, slave = -1;
    ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, &size), 0);
    master_ = io::UniqueFd(master);
    slave_ = io::UniqueFd(slave);
    fcntl(master, F_SETFD, FD_CLOEXEC);
    fcntl(slave, F_SETFD, FD_CLOEXEC);
    ASSERT_EQ(tcgetattr(slave, &before_), 0);
    daemon_ = std::make_unique<TestDaemon>(folder_.path("wg0.sock"),
                                           [answer = answer_](const std::string&) { return answer; });
    program_ = std::make_unique<Program>(
        std::vector<std::string>{"watch", "wg0", "--interval", "0.1", "--socket-dir", folder_.path("")},
        slave, slave);
  }

  // Reads the terminal until `text` was shown `count` times.
  [[nodiscard]] bool shows(const std::string& text, int count = 1) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (occurrences(text) < count) {
      pollfd ready{master_.get(), POLLIN, 0};
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0 || poll(&ready, 1, static_cast<int>(left.count())) <= 0) return false;
      char bytes[4096];
      const ssize_t got = read(master_.get(), bytes, sizeof bytes);
      if (got <= 0) return false;
      shown_.append(bytes, static_cast<size_t>(got));
    }
    return true;
  }
  void expect_restored() {
    EXPECT_TRUE(shows("\x1b[?1049l")) << "back from the alternate screen";
    termios after{};
    ASSERT_EQ(tcgetattr(slave_.get(), &after), 0);
    EXPECT_EQ(after.c_lflag, before_.c_lflag) << "echo and line mode are back";
  }

  std::unique_ptr<Program> program_;
  io::UniqueFd master_, slave_;
  std::unique_ptr<TestDaemon> daemon_;

 private:
  [[nodiscard]] int occurrences(const std::string& text) const {
    int count = 0;
    for (size_t at = shown_.find(text); at != std::string::npos; at = shown_.find(text, at + 1)) ++count;
    return count;
  }

  const TestFolder folder_;
  const std::string answer_ = config::emit_get(example_report()) + "errno=0\n\n";
  std::string shown_;
  termios before_{};
};

TEST_F(WatchOnTerminal, RedrawsUntilQAndRestoresTheTerminal) {
  ASSERT_TRUE(shows("wg0  vpn 0.1.0", 3));
  EXPECT_TRUE(shows("0 B/s")) << "rates from the second picture on";
  ASSERT_EQ(write(master_.get(), "q", 1), 1);
  expect_restored();
  EXPECT_EQ(program_->wait(), 0);
}

TEST_F(WatchOnTerminal, RestoresTheTerminalOnASignal) {
  ASSERT_TRUE(shows("wg0  vpn 0.1.0"));
  program_->signal(SIGTERM);
  expect_restored();
  EXPECT_EQ(program_->wait(), 0);
}

TEST_F(WatchOnTerminal, OutlivesTheDaemonAndFollowsTheSize) {
  ASSERT_TRUE(shows("wg0  vpn 0.1.0"));
  daemon_.reset();
  EXPECT_TRUE(shows("no daemon serves this interface"));
  const winsize narrow{30, 20, 0, 0};
  ASSERT_EQ(ioctl(master_.get(), TIOCSWINSZ, &narrow), 0);
  program_->signal(SIGWINCH);
  EXPECT_TRUE(shows("wg0: no daemon serv…"));
  ASSERT_EQ(write(master_.get(), "q", 1), 1);
  EXPECT_EQ(program_->wait(), 0);
}

}  // namespace
}  // namespace vpn::cli
