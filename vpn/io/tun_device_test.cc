// TUN devices of the real kernel, in a network namespace of the test's own. M1.1, M1.2.
#include "vpn/io/tun_device.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <vector>

#include "vpn/io/udp_address_codec.h"
#include "vpn/offload/coalescer.h"
#include "vpn/offload/segmenter.h"
#include "vpn/offload/test_packets.h"

namespace vpn::io {
namespace {

using offload::testing::checksums_are_right;
using offload::testing::make_packet;
using offload::testing::Packet;

class TunDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    // One namespace for the whole program: a device is gone when its object is.
    static const bool in_namespace = unshare(CLONE_NEWNET) == 0;
    if (!in_namespace) GTEST_SKIP() << "by design: a network namespace needs root; remedy: run as root";
    auto created = TunDevice::create({.name = "tunit"});
    ASSERT_TRUE(created.has_value()) << created.error().to_string();
    tun_.emplace(std::move(*created));
  }

  // Gives the interface 10.0.0.1/24, and brings it up.
  void bring_up() {
    const UniqueFd control(socket(AF_INET, SOCK_DGRAM, 0));
    ifreq request{};
    tun_->name().copy(request.ifr_name, IFNAMSIZ - 1);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    const auto set = [&](unsigned long what, const char* text) {
      inet_pton(AF_INET, text, &address.sin_addr);
      std::memcpy(&request.ifr_addr, &address, sizeof address);
      ASSERT_EQ(ioctl(control.get(), what, &request), 0);
    };
    set(SIOCSIFADDR, "10.0.0.1");
    set(SIOCSIFNETMASK, "255.255.255.0");
    request.ifr_flags = IFF_UP;
    ASSERT_EQ(ioctl(control.get(), SIOCSIFFLAGS, &request), 0);
  }

  // The next packet of this protocol that the kernel sends into the interface.
  std::optional<Packet> read_packet(uint8_t protocol, offload::VnetHeader& header) {
    std::vector<uint8_t> buffer(TunDevice::kLongestPacket);
    for (int attempt = 0; attempt < 100; ++attempt) {
      pollfd waiting{tun_->fd(), POLLIN, 0};
      if (poll(&waiting, 1, 2000) != 1) return std::nullopt;
      const auto outcome = tun_->read(header, buffer);
      if (outcome.error_number != 0 || outcome.bytes < 20) continue;
      if (buffer[0] >> 4 == 4 && buffer[9] == protocol)
        return Packet(buffer.begin(), buffer.begin() + static_cast<long>(outcome.bytes));
    }
    return std::nullopt;
  }

  std::optional<TunDevice> tun_;
};

UniqueFd udp_socket_on(uint16_t port) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_storage address{};
  const socklen_t length = to_sockaddr({IpAddress(), port, 0}, address);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
  const timeval patience{2, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return fd;
}

TEST_F(TunDeviceTest, IsThereWhileItsObjectIs) {
  EXPECT_EQ(if_nametoindex("tunit"), tun_->index());
  tun_.reset();
  EXPECT_EQ(if_nametoindex("tunit"), 0u);
}

TEST_F(TunDeviceTest, ATakenNameIsAnError) {
  const auto second = TunDevice::create({.name = "tunit"});
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error().to_string(),
              testing::HasSubstr("tunit: an interface of this name exists already; remedy: "));
}

TEST_F(TunDeviceTest, ReadsWouldBlockUntilThereIsAPacket) {
  offload::VnetHeader header;
  std::vector<uint8_t> buffer(TunDevice::kLongestPacket);
  EXPECT_EQ(tun_->read(header, buffer).error_number, EAGAIN);
}

TEST_F(TunDeviceTest, AnOpenChecksumOfTheKernelIsCompleted) {
  bring_up();
  const UniqueFd sender = udp_socket_on(0);
  sockaddr_storage to{};
  const socklen_t length = to_sockaddr({IpAddress::ipv4(10, 0, 0, 2), 9, 0}, to);
  ASSERT_EQ(sendto(sender.get(), "hello", 5, 0, reinterpret_cast<const sockaddr*>(&to), length), 5);
  offload::VnetHeader header;
  auto packet = read_packet(offload::kProtocolUdp, header);
  ASSERT_TRUE(packet.has_value());
  EXPECT_TRUE(offload::complete_checksum(header, *packet));
  EXPECT_TRUE(checksums_are_right(*packet));
  EXPECT_EQ(packet->size(), 33u);
}

// What the coalescer makes, the kernel takes apart into the same datagrams.
TEST_F(TunDeviceTest, TheKernelTakesACoalescedSuperPacket) {
  if (!tun_->features().uso) GTEST_SKIP() << "by design: this kernel has no UDP super-packets";
  bring_up();
  const UniqueFd receiver = udp_socket_on(80);
  offload::Coalescer coalescer({.tcp = true, .udp = true});
  std::vector<Packet> packets;
  for (uint8_t index = 0; index < 10; ++index) {
    packets.push_back(
        make_packet({.tcp = false, .id = index, .payload_bytes = 1000, .payload_start = index}));
  }
  for (Packet& packet : packets) coalescer.add(packet);
  size_t writes = 0;
  coalescer.flush([&](const offload::VnetHeader& header, std::span<const MutableBytes> slices) {
    ++writes;
    EXPECT_EQ(tun_->write(header, slices).error_number, 0);
  });
  EXPECT_EQ(writes, 1u);
  for (uint8_t index = 0; index < 10; ++index) {
    std::vector<uint8_t> received(2000);
    ASSERT_EQ(recv(receiver.get(), received.data(), received.size(), 0), 1000);
    EXPECT_EQ(received[0], index);
  }
}

// Anybody who can open /dev/net/tun might otherwise attach one, and get its share of the packets.
TEST_F(TunDeviceTest, OnlyItsUserMayAttachAQueue) {
  tun_.reset();
  auto first = TunDevice::create({.name = "tunit", .multi_queue = true});
  ASSERT_TRUE(first.has_value()) << first.error().to_string();
  EXPECT_TRUE(first->open_queue().has_value());
  ASSERT_FALSE(TunDevice::create({.name = "tunit", .multi_queue = true}).has_value()) << "nor is it joined";
  const UniqueFd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC));  // some systems let everybody
  const pid_t child = fork();
  if (child == 0) {
    ifreq request{};
    first->name().copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
    const bool other = setresgid(12345, 12345, 12345) == 0 && setresuid(12345, 12345, 12345) == 0;
    _exit(other && ioctl(fd.get(), TUNSETIFF, &request) != 0 && errno == EPERM ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(TunDeviceTest, WithoutOffloadItCarriesPlainPackets) {
  tun_.reset();
  auto plain = TunDevice::create({.name = "tunit", .offload = false});
  ASSERT_TRUE(plain.has_value());
  tun_.emplace(std::move(*plain));
  EXPECT_EQ(tun_->features().to_string(), "off");
  bring_up();
  const UniqueFd receiver = udp_socket_on(80);
  Packet packet = make_packet({.tcp = false, .payload_bytes = 100});
  const MutableBytes slice(packet);
  EXPECT_EQ(tun_->write({}, {&slice, 1}).bytes, packet.size());
  std::vector<uint8_t> received(200);
  EXPECT_EQ(recv(receiver.get(), received.data(), received.size(), 0), 100);
}

TEST_F(TunDeviceTest, WritingWhileItIsDownIsEio) {
  Packet packet = make_packet({.tcp = false});
  const MutableBytes slice(packet);
  EXPECT_EQ(tun_->write({}, {&slice, 1}).error_number, EIO);
}

}  // namespace
}  // namespace vpn::io
