#include "lab/kernel/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

namespace lab {
namespace {

// From Linux 6.2; older headers lack the names.
constexpr unsigned kOffloadUso4 = 0x20;
constexpr unsigned kOffloadUso6 = 0x40;

}  // namespace

Result<UniqueFd> create_tap(const std::string& name) {
  // The descriptor belongs to the network namespace it is opened in.
  UniqueFd tap(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!tap.is_open()) {
    const bool refused = errno == EACCES || errno == EPERM;
    return fail_errno("/dev/net/tun", "opening it",
                      refused ? "run as root, or chmod 0666 /dev/net/tun"
                              : "load the module tun, or give the container the device");
  }
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  if (::ioctl(tap.get(), TUNSETIFF, &request) != 0) return fail_errno(name, "making a TAP interface");
  return tap;
}

Result<void> set_tap_offload(const UniqueFd& tap, bool on) {
  constexpr unsigned kSegmentation = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  if (on && ::ioctl(tap.get(), TUNSETOFFLOAD, kSegmentation | kOffloadUso4 | kOffloadUso6) == 0) return {};
  if (::ioctl(tap.get(), TUNSETOFFLOAD, on ? kSegmentation : 0U) != 0)
    return fail_errno("", "setting TAP offloads");
  return {};
}

}  // namespace lab
