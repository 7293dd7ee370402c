// systemd-resolved, over the system bus (org.freedesktop.resolve1(5)).
#pragma once

#include <string_view>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/host/host_change.h"

namespace vpn::host {

// Whether it runs; it is not started by asking.
[[nodiscard]] bool has_resolved();
// Whether all names end up with it on a host whose resolv.conf(5) says this: every server in there is its
// own.
[[nodiscard]] bool leads_to_resolved(std::string_view resolv_conf);
// The servers and domains of one interface; with `dns.everything` that interface is asked for all names.
[[nodiscard]] Result<bool, Error> set_resolved(unsigned index, const SetDns& dns);
[[nodiscard]] Result<bool, Error> revert_resolved(unsigned index);

}  // namespace vpn::host
