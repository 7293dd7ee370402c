#include "vpn/io/tun_device.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "vpn/io/system.h"

namespace vpn::io {
namespace {

constexpr char kTunPath[] = "/dev/net/tun";
// Of Linux 6.2; Debian 12's headers do not have them.
constexpr unsigned kTunUso4 = 0x20;
constexpr unsigned kTunUso6 = 0x40;
constexpr size_t kMaxSlices = 64;

Error open_error(int error_number) {
  Error error{kTunPath, 0, "", error_text(error_number), ""};
  if (error_number == ENOENT || error_number == ENODEV || error_number == ENXIO) {
    error.problem = "no TUN driver in this system";
    error.remedy = "load it with 'modprobe tun', or give the container /dev/net/tun";
  } else if (error_number == EACCES || error_number == EPERM) {
    error.problem = "may not be opened by this user";
    error.remedy = "run as root or with CAP_NET_ADMIN, and allow the device in the container";
  }
  return error;
}

Error create_error(const std::string& name, int error_number) {
  Error error{name, 0, "", "cannot create the interface: " + error_text(error_number), ""};
  if (error_number == EPERM) {
    error.problem = "creating an interface needs CAP_NET_ADMIN";
    error.remedy = "run as root, or give the program CAP_NET_ADMIN";
  } else if (error_number == EBUSY || error_number == EEXIST) {
    error.problem = "an interface of this name exists already";
    error.remedy =
        "take another name, or end what runs it ('vpn down " + name + "', 'ip link delete " + name + "')";
  }
  return error;
}

// Switches on what the kernel can of the offloads, the most first.
TunDevice::Features probe_offload(int fd) noexcept {
  constexpr unsigned kTso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  TunDevice::Features features{.vnet_header = true};
  features.uso = ioctl(fd, TUNSETOFFLOAD, kTso | kTunUso4 | kTunUso6) == 0;
  features.tso = features.uso || ioctl(fd, TUNSETOFFLOAD, kTso) == 0;
  return features;
}

}  // namespace

std::string TunDevice::Features::to_string() const {
  if (!tso) return "off";
  return uso ? "tso uso" : "tso";
}

TunDevice::TunDevice(UniqueFd fd, TunOptions options, unsigned index, Features features) noexcept
    : fd_(std::move(fd)), options_(std::move(options)), index_(index), features_(features) {}

Result<TunDevice, Error> TunDevice::create(const TunOptions& options) {
  // Without IFF_TUN_EXCL another process's interface of this name might be joined.
  auto created = open(options, IFF_TUN_EXCL);
  if (!created) return created;
  // As long as nobody owns it, any user who can open /dev/net/tun may attach a queue, and gets its packets.
  if (ioctl(created->fd(), TUNSETOWNER, geteuid()) != 0) return fail(create_error(options.name, errno));
  return created;
}

Result<TunDevice, Error> TunDevice::open_queue() const {
  return open(options_, 0);
}

Result<TunDevice, Error> TunDevice::open(const TunOptions& options, int extra_flags) {
  UniqueFd fd(::open(kTunPath, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.is_open()) return fail(open_error(errno));

  ifreq request{};
  options.name.copy(request.ifr_name, IFNAMSIZ - 1);
  int flags = IFF_TUN | IFF_NO_PI | extra_flags;
  if (options.offload) flags |= IFF_VNET_HDR;
  if (options.multi_queue) flags |= IFF_MULTI_QUEUE;
  request.ifr_flags = static_cast<short>(flags);
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) return fail(create_error(options.name, errno));

  TunOptions named = options;
  named.name = request.ifr_name;
  const unsigned index = if_nametoindex(request.ifr_name);
  const Features features = options.offload ? probe_offload(fd.get()) : Features{};
  return TunDevice(std::move(fd), std::move(named), index, features);
}

bool TunDevice::is_there() const noexcept {
  ifreq request{};
  return ioctl(fd(), TUNGETIFF, &request) == 0;
}

TunDevice TunDevice::adopt(UniqueFd fd, const TunOptions& options, const Features& features) noexcept {
  return TunDevice(std::move(fd), options, 0, features);
}

TunDevice::Outcome TunDevice::read(offload::VnetHeader& header, MutableBytes buffer) noexcept {
  std::array<uint8_t, offload::VnetHeader::kBytes> raw;
  header = {};
  iovec parts[] = {{raw.data(), raw.size()}, {buffer.data(), buffer.size()}};
  const bool with_header = features_.vnet_header;
  const ssize_t got = options_.calls->readv(fd(), with_header ? parts : parts + 1, with_header ? 2 : 1);
  if (got < 0) return {0, errno};
  if (!with_header) return {static_cast<size_t>(got), 0};
  const auto decoded = offload::VnetHeader::decode(raw);
  if (static_cast<size_t>(got) < raw.size() || !decoded) return {0, EPROTO};
  header = *decoded;
  return {static_cast<size_t>(got) - raw.size(), 0};
}

TunDevice::Outcome TunDevice::write(const offload::VnetHeader& header,
                                    std::span<const MutableBytes> slices) noexcept {
  std::array<uint8_t, offload::VnetHeader::kBytes> raw;
  std::array<iovec, 1 + kMaxSlices> parts;
  size_t count = 0;
  if (features_.vnet_header) {
    header.encode(raw);
    parts[count++] = {raw.data(), raw.size()};
  }
  for (const MutableBytes slice : slices) parts[count++] = {slice.data(), slice.size()};
  const ssize_t put = options_.calls->writev(fd(), parts.data(), static_cast<int>(count));
  if (put < 0) return {0, errno};
  return {static_cast<size_t>(put), 0};
}

void TunDevice::switch_offload_off() noexcept {
  if (features_.vnet_header && ioctl(fd(), TUNSETOFFLOAD, 0) != 0) return;
  features_.tso = false;
  features_.uso = false;
}

}  // namespace vpn::io
