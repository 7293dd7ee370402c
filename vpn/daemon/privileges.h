// What the daemon gives away: once when it starts, and once when everything that needs more is done.
#pragma once

#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"

namespace vpn::daemon {

// A user and group to run as.
struct UserIds {
  unsigned user = 0;
  unsigned group = 0;
};
// The ids of a user of this host, with its primary group. The error names the key User.
[[nodiscard]] Result<UserIds, Error> find_user(const std::string& name);

// No core dumps and no debugger of the same user: both would show keys.
void forbid_core_dumps() noexcept;

// Keeps CAP_NET_ADMIN and, where it is there, CAP_NET_BIND_SERVICE alone, and becomes `user` unless that is
// null. Capabilities belong to threads: those made before keep theirs.
[[nodiscard]] Result<bool, Error> drop_privileges(const UserIds* user);

// Leaves to every thread only the system calls that serving needs; the others answer EPERM.
[[nodiscard]] Result<bool, Error> filter_system_calls();

}  // namespace vpn::daemon
