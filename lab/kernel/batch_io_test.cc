#include "lab/kernel/batch_io.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "lab/kernel/unique_fd.h"

namespace lab {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

// A datagram a transfer, as a TAP has a frame.
struct Datagrams {
  Datagrams() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    from = UniqueFd(ends[0]);
    to = UniqueFd(ends[1]);
  }
  UniqueFd from;
  UniqueFd to;
};

// Texts in memory of their own, to be written or read over.
class Texts {
 public:
  explicit Texts(std::vector<std::string> texts) : texts_(std::move(texts)) {}

  std::vector<Transfer> transfers(const UniqueFd& fd) {
    std::vector<Transfer> all;
    for (std::string& text : texts_)
      all.push_back({fd.get(), reinterpret_cast<uint8_t*>(text.data()), text.size()});
    return all;
  }
  [[nodiscard]] const std::vector<std::string>& all() const { return texts_; }

 private:
  std::vector<std::string> texts_;
};

std::vector<ssize_t> results(const std::vector<Transfer>& transfers) {
  std::vector<ssize_t> all;
  for (const Transfer& transfer : transfers) all.push_back(transfer.result);
  return all;
}

// A file that knows no reading without waiting, so that no ring serves it.
UniqueFd always_waits() {
  return UniqueFd(::open("/proc/self/comm", O_RDONLY | O_CLOEXEC));
}

// Both ways: with the ring where the kernel lends one, and after it was given up.
class BatchIoTest : public ::testing::TestWithParam<bool> {
 protected:
  BatchIoTest() {
    if (GetParam()) return;
    const UniqueFd file = always_waits();
    Texts room({std::string(64, ' ')});
    auto transfers = room.transfers(file);
    io.read(transfers);
    EXPECT_NE(io.refusal(), "");
    EXPECT_EQ(io.most_at_once(), 1U);
  }
  BatchIo io;
};

INSTANTIATE_TEST_SUITE_P(Ways, BatchIoTest, ::testing::Bool(),
                         [](const auto& way) { return way.param ? "Ring" : "Calls"; });

std::vector<std::string> numbers_beyond_one_call() {
  std::vector<std::string> numbers;
  for (int i = 1000; i < 1150; ++i) numbers.push_back(std::to_string(i));
  return numbers;
}

TEST_P(BatchIoTest, WritesInOrderMoreThanOneCallHolds) {
  const Datagrams datagrams;
  Texts sent(numbers_beyond_one_call());
  auto writes = sent.transfers(datagrams.from);
  io.write(writes);
  EXPECT_THAT(results(writes), Each(4));
  std::vector<std::string> arrived(writes.size(), "    ");
  for (std::string& one : arrived) EXPECT_EQ(::read(datagrams.to.get(), one.data(), one.size()), 4);
  EXPECT_EQ(arrived, sent.all());
}

TEST_P(BatchIoTest, ReadsInOrderMoreThanOneCallHolds) {
  const Datagrams datagrams;
  const auto sent = numbers_beyond_one_call();
  for (const std::string& one : sent) EXPECT_EQ(::write(datagrams.from.get(), one.data(), one.size()), 4);
  Texts room(std::vector<std::string>(sent.size(), "    "));
  auto reads = room.transfers(datagrams.to);
  io.read(reads);
  EXPECT_THAT(results(reads), Each(4));
  EXPECT_EQ(room.all(), sent);
}

TEST_P(BatchIoTest, SaysAtOnceWhatWouldWait) {
  const Datagrams datagrams;
  Texts sent({"one"});
  auto writes = sent.transfers(datagrams.from);
  io.write(writes);
  Texts room({"   ", "   ", "   "});
  auto reads = room.transfers(datagrams.to);
  io.read(reads);
  EXPECT_THAT(results(reads), ElementsAre(3, -EAGAIN, -EAGAIN));
  EXPECT_EQ(room.all().front(), "one");
}

TEST_P(BatchIoTest, SaysOfEachTransferWhyItFailed) {
  Datagrams datagrams;
  const Datagrams others;
  datagrams.to.reset();
  Texts sent({"lost", "sent"});
  auto writes = sent.transfers(datagrams.from);
  writes.back().fd = others.from.get();
  ::signal(SIGPIPE, SIG_IGN);
  io.write(writes);
  EXPECT_THAT(results(writes), ElementsAre(-EPIPE, 4));
}

// What a ring does not serve is done all the same, once and in order, and so is what comes after.
TEST(BatchIo, DoesItselfWhatTheRingRefuses) {
  BatchIo io;
  const Datagrams datagrams;
  Texts sent({"one"});
  auto writes = sent.transfers(datagrams.from);
  io.write(writes);
  const UniqueFd file = always_waits();
  Texts room({"   ", std::string(64, ' ')});
  auto reads = room.transfers(datagrams.to);
  reads.back().fd = file.get();
  io.read(reads);
  EXPECT_EQ(room.all().front(), "one");
  EXPECT_GT(reads.back().result, 0);
  EXPECT_NE(io.refusal(), "");
}

}  // namespace
}  // namespace lab
