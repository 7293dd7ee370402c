#include "vpn/io/segmentation_check.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <utility>

namespace vpn::io {
namespace {

// A kernel that does something to what was received.
class SpoilingCalls final : public SystemCalls {
 public:
  using Spoil = std::function<void(mmsghdr* messages, int count)>;
  explicit SpoilingCalls(Spoil spoil) : spoil_(std::move(spoil)) {}

  int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept override {
    const int got = SystemCalls::recvmmsg(fd, messages, count, flags);
    if (got > 0) spoil_(messages, got);
    return got;
  }

 private:
  Spoil spoil_;
};

uint8_t* bytes_of(mmsghdr& message) {
  return static_cast<uint8_t*>(message.msg_hdr.msg_iov->iov_base);
}

TEST(SegmentationCheck, IsContentWithThisKernel) {
  EXPECT_TRUE(segmentation_keeps_bytes());
}

TEST(SegmentationCheck, FindsAByteThatChanged) {
  SpoilingCalls calls([](mmsghdr* messages, int count) { bytes_of(messages[count - 1])[700] ^= 1; });
  EXPECT_FALSE(segmentation_keeps_bytes(calls));
}

TEST(SegmentationCheck, FindsASegmentThatCameTwiceInPlaceOfAnother) {
  SpoilingCalls calls([](mmsghdr* messages, int count) {
    if (count > 1) std::memcpy(bytes_of(messages[1]), bytes_of(messages[0]), messages[1].msg_len);
  });
  EXPECT_FALSE(segmentation_keeps_bytes(calls));
}

TEST(SegmentationCheck, FindsADamagedRun) {
  SpoilingCalls calls([](mmsghdr* messages, int) {
    constexpr unsigned kSegment = 1452;
    if (messages[0].msg_len > 2 * kSegment)
      std::memmove(bytes_of(messages[0]) + kSegment, bytes_of(messages[0]), kSegment);
  });
  EXPECT_FALSE(segmentation_keeps_bytes(calls));
}

TEST(SegmentationCheck, FindsThatSomeDidNotCome) {
  SpoilingCalls calls([](mmsghdr* messages, int) { messages[0].msg_len = 0; });
  EXPECT_FALSE(segmentation_keeps_bytes(calls));
}

// Sends nothing, as where the loopback interface is down.
class MuteCalls final : public SystemCalls {
 public:
  int sendmmsg(int, mmsghdr*, unsigned, int) noexcept override { return fails(); }
  ssize_t sendmsg(int, const msghdr*, int) noexcept override { return fails(); }

 private:
  static int fails() noexcept {
    errno = ENETUNREACH;
    return -1;
  }
};

TEST(SegmentationCheck, SaysNothingAgainstAKernelItCannotTry) {
  MuteCalls calls;
  EXPECT_TRUE(segmentation_keeps_bytes(calls));
}

}  // namespace
}  // namespace vpn::io
