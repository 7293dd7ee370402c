// A daemon's report as text for people, in the manner of 'wg show', as JSON for programs, and as metrics.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "vpn/config/uapi.h"

namespace vpn::cli {

using InterfaceReports = std::vector<std::pair<std::string, config::DeviceReport>>;  // by interface name

// The peers, latest handshake first, as 'wg show' orders them.
[[nodiscard]] std::vector<const config::PeerReport*> by_latest_handshake(const config::DeviceReport& report);

// One interface. Secret keys show as "(hidden)". `unix_now`: seconds, for the ages of handshakes.
[[nodiscard]] std::string show_text(const std::string& interface, const config::DeviceReport& report,
                                    int64_t unix_now);

// {"interfaces": [{"name": …, "peers": […]}, …]}, indented, ended by a newline. Of secret keys it only says
// whether they are set.
[[nodiscard]] std::string show_json(const InterfaceReports& reports);

// The text format that Prometheus reads (0.0.4): for each metric its help, its type, and a line for each peer
// or counter. What all WireGuards tell bears the names that existing exporters gave it.
[[nodiscard]] std::string show_metrics(const InterfaceReports& reports);

}  // namespace vpn::cli
